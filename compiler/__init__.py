"""Blockprint's compiler: how a spec becomes an artifact.

`compile("spec.yaml")` returns an `Artifact`; `runtime.build` makes a model of it.
"""

import compiler.pickled  # noqa: F401 - tells pickle of artifacts
from compiler.artifact import Artifact
from compiler.pipeline import compile, compile_text
from spec_schema.diagnostics import Diagnostic, SpecError

__all__ = ["Artifact", "Diagnostic", "SpecError", "compile", "compile_text"]
