"""The catalogue of diagnostics, replayed: each example is printed as its page says, and its mended spec compiles."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from diagnostic_pages import Example, examples

from spec_schema.codes import codes, page

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for package in ("spec_schema", "compiler", "runtime") for path in (ROOT / package).rglob("*.py")
]
EXAMPLES = [example for code in codes() for example in examples(code)]
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

WITHOUT_EXAMPLE = frozenset(
    "bad-dataset bad-weights data-broken data-lengths data-missing data-nan data-outside data-ragged data-shape "
    "data-too-large import-data-number import-differs import-failed import-input import-keep import-operation "
    "import-outside-module import-outside-tensor import-parametrization import-size import-source "
    "import-two-programs import-updated import-written-view "
    "mesh-failed mesh-training metric-failed missing-extra model-failed needs-values not-by-row not-exported "
    "several-devices "
    "too-little-data training-failed transform-failed".split()
)
"""Codes whose cause is in the data, in a module that is imported, in a plugin or in what is installed, not in the text
of a spec: tested beside what raises them."""


def raised() -> set[str]:
    """Return the codes that the sources give to diagnostics."""
    makers = {"refuse", "Diagnostic", "Refusal", "_report"}
    calls = [n for path in SOURCES for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    found: set[str] = set()
    for call in calls:
        maker = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for first in call.args[:1] if maker in makers else ():
            texts = [n.value for n in ast.walk(first) if isinstance(n, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}
    return found


def named() -> set[str]:
    """Return every text in the sources that could be a code: some reach a diagnostic by way of a table."""
    nodes = [
        n for path in SOURCES for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)
    ]
    return {node.value for node in nodes if isinstance(node.value, str)}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_printed_as_the_page_says(example: Example) -> None:
    assert f"error[{example.code}]: " in example.printed
    assert example.refused() + "\n" == example.printed


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.fixed is not None], ids=str)
def test_a_mended_example_compiles(example: Example) -> None:
    example.mended()


@pytest.mark.parametrize("code", codes())
def test_a_page_says_what_why_and_how_to_mend_it(code: str) -> None:
    title, what, why, mend = page(code).split("```")[0].strip().split("\n\n")
    assert title == f"# {code}"
    assert "\n" not in what
    assert what.endswith(".")
    assert why
    assert mend.startswith("To mend it: ")
    assert bool(examples(code)) != (code in WITHOUT_EXAMPLE)


def test_every_code_has_a_page() -> None:
    assert raised() - set(codes()) == set()


def test_every_page_has_a_code() -> None:
    assert set(codes()) - named() == set()


def test_there_are_at_least_sixty() -> None:
    assert len({example.code for example in EXAMPLES}) >= 60


HEADLINE = re.compile(r"^error\[[a-z0-9-]+\]: (.*)$", re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_headline_is_one_fact(example: Example) -> None:
    """Lower case unless it starts with what the spec or a standard calls so, no full stop, one line of fair length."""
    for headline in HEADLINE.findall(example.printed):
        assert not headline.endswith("."), headline
        assert not headline[0].isupper() or headline.split()[0] in ("YAML", "JSON", "NaN"), headline
        assert len(headline) <= 160, headline
