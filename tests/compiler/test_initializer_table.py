"""The table of initialisers agrees with torch, and judges shapes and arguments without it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import get_args

import pytest
from torch.nn import init

from compiler.catalogue import initializer_table
from compiler.catalogue.initializer_table import (
    INITIALIZER_ARGUMENTS,
    INITIALIZER_CHOICES,
    RANDOM_INITIALIZERS,
    REQUIRED,
    argument_problem,
    identity,
    initializer_names,
    requirement,
)


def test_the_names_are_those_of_torch() -> None:
    # A deprecated alias bears the name without the underscore, and means the same.
    public = {name for name in init.__all__ if name.endswith("_")}
    assert {name + "_" for name in initializer_names()} == public


@pytest.mark.parametrize("name", initializer_names())
def test_the_arguments_are_those_of_torch(name: str) -> None:
    parameters = inspect.signature(getattr(init, name + "_")).parameters
    theirs = {key: parameter.default for key, parameter in parameters.items()}
    for own in ("tensor", "generator"):
        theirs.pop(own, None)
    ours = {
        key: inspect.Parameter.empty if default is REQUIRED else default
        for key, default in INITIALIZER_ARGUMENTS[name].items()
    }
    assert list(ours.items()) == list(theirs.items())


def test_random_are_those_that_take_a_generator() -> None:
    assert {
        name
        for name in initializer_names()
        if "generator" in inspect.signature(getattr(init, name + "_")).parameters
    } == RANDOM_INITIALIZERS


def test_choices_are_those_of_torch() -> None:
    assert get_args(init._NonlinearityType) == INITIALIZER_CHOICES["nonlinearity"]
    assert get_args(init._FanMode) == INITIALIZER_CHOICES["mode"]


def test_the_table_needs_no_torch() -> None:
    code = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("table", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["table"] = module
spec.loader.exec_module(module)
sys.exit("torch" in sys.modules)
"""
    assert (
        subprocess.run([sys.executable, "-c", code, initializer_table.__file__], check=False).returncode == 0
    )


@pytest.mark.parametrize(
    ("name", "shape", "fits"),
    [
        ("uniform", (), True),
        ("zeros", (), True),
        ("xavier_uniform", (3,), False),
        ("kaiming_normal", (3, 4), True),
        ("orthogonal", (), False),
        ("orthogonal", (2, 3, 4), True),
        ("eye", (2, 2, 2), False),
        ("eye", (2, 3), True),
        ("sparse", (4,), False),
        ("dirac", (2, 2), False),
        ("dirac", (2, 2, 1, 1, 1), True),
        ("dirac", (2, 2, 1, 1, 1, 1), False),
        ("no_such", (), True),
    ],
)
def test_requirement(name: str, shape: tuple[int, ...], fits: bool) -> None:
    reason = requirement(name, shape)
    assert (reason is None) == fits
    assert fits or name in str(reason)


def test_requirement_of_dirac_groups() -> None:
    assert requirement("dirac", (6, 2, 3), {"groups": 3}) is None
    assert "groups=4" in str(requirement("dirac", (6, 2, 3), {"groups": 4}))


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("normal", {"sd": 1}, "no argument 'sd'; its arguments are: mean, std"),
        ("ones", {"val": 1}, "none"),
        ("constant", {}, "needs a value for 'val'"),
        ("sparse", {"std": 1}, "needs a value for 'sparsity'"),
        ("sparse", {"sparsity": 1.5}, "between 0 and 1"),
        ("normal", {"std": -1}, "cannot be negative"),
        ("normal", {"std": "1"}, "a number"),
        ("normal", {"mean": True}, "a number"),
        ("normal", {"mean": float("nan")}, "finite"),
        ("uniform", {"a": 2}, "above"),
        ("trunc_normal", {"std": 0}, "positive"),
        ("dirac", {"groups": 0}, "positive integer"),
        ("kaiming_normal", {"mode": "fan"}, "fan_in, fan_out"),
        ("kaiming_uniform", {"nonlinearity": "gelu"}, "leaky_relu"),
    ],
)
def test_wrong_arguments(name: str, arguments: dict[str, object], part: str) -> None:
    problem = argument_problem(name, arguments)
    assert problem is not None
    assert part in problem


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("normal", {}),
        ("uniform", {"a": -1, "b": -1}),
        ("constant", {"val": float("-inf")}),
        ("kaiming_normal", {"a": 0.2, "mode": "fan_out", "nonlinearity": "leaky_relu"}),
    ],
)
def test_right_arguments(name: str, arguments: dict[str, object]) -> None:
    assert argument_problem(name, arguments) is None


def test_identity() -> None:
    assert identity("normal", {"std": 1}) == identity("normal", {}) == "normal(mean=0.0, std=1.0)"
    assert identity("normal", {"std": 2}) != identity("normal", {})
    assert identity("dirac", {}) == "dirac(groups=1)"
