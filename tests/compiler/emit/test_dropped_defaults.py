"""Arguments in emitted source that equal the default of the layer are not written."""

from __future__ import annotations

import ast

import pytest

import compiler
from compiler.emit.passes.defaults import drop_defaults

OWN = """
class Norm(nn.Module):

    def __init__(self, width: int, bias: bool=False, *, scale: int=1):
        pass
"""


def dropped(call: str) -> str:
    return ast.unparse(drop_defaults(ast.parse(f"{OWN}\n{call}")).body[-1])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("nn.Conv2d(3, 8, 3, groups=1, bias=True, padding=1)", "nn.Conv2d(3, 8, 3, padding=1)"),
        ("nn.BatchNorm2d(8, eps=1e-05, momentum=0.1)", "nn.BatchNorm2d(8)"),
        ("Norm(8, bias=False)", "Norm(8)"),
    ],
)
def test_what_is_so_anyway_is_left_out(written: str, expected: str) -> None:
    assert dropped(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "nn.Conv2d(3, 8, 3, groups=groups, bias=False)",
        "nn.Conv2d(3, 8, 3, groups=True)",  # equal, but of another type
        "nn.MaxPool2d(2, stride=1)",
        "nn.Dropout(0.5)",  # by position, where it is what is read
        "Norm(8, bias=bias)",
        "Norm(8, bias=0)",
        "other.Norm(8, bias=False)",
    ],
)
def test_everything_else_is_written(written: str) -> None:
    assert dropped(written) == written


def test_a_spec_that_says_the_default() -> None:
    source = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 3, 8, 8]"}
model: ["Conv2d(4, 3, groups=1, bias=True, padding=1)"]
""").source
    assert "nn.Conv2d(3, 4, 3, padding=1)" in source
