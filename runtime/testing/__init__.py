"""A kit of property tests for layers, and the Hypothesis strategies that it draws from.

`layer_tests` makes tests for pytest, `check_layer` gives verdicts; `python -m compiler test-layer` prints them.
"""

import runtime.testing.available  # noqa: F401 - before any module that imports Hypothesis
from compiler.catalogue.hints import Hints, Recipe
from runtime.testing.check import check_layer, check_property
from runtime.testing.outcome import Failure, Property, Result, Verdict
from runtime.testing.properties.table import PROPERTIES
from runtime.testing.subject import HintError, Subject, subject_of, subjects_at
from runtime.testing.suite import layer_tests

__all__ = [
    "PROPERTIES",
    "Failure",
    "HintError",
    "Hints",
    "Property",
    "Recipe",
    "Result",
    "Subject",
    "Verdict",
    "check_layer",
    "check_property",
    "layer_tests",
    "subject_of",
    "subjects_at",
]
