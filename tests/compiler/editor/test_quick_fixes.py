"""Quick fixes: what the help of a diagnostic says is an edit, and the edit mends the spec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.editor.analysis import Origin, analysed
from compiler.editor.fixes import fixes
from spec_schema.diagnostics import Diagnostic

PAGES = Path(__file__).parents[3] / "spec_schema/codes"
MENDED = """
    ambiguous-number bad-name bare-operation copy-source inferred-argument missing-return near-variable not-an-operation
    not-iterable reserved-name torn-call unknown-argument unknown-attribute unknown-device unknown-dtype
    unknown-initializer unknown-key unknown-layer unknown-method unknown-name unknown-operation unknown-parametrization
    unused-dimension unused-rule wrong-size yaml-syntax yaml-tag
""".split()
"""Codes whose first example a quick fix mends."""


def found(text: str) -> tuple[Diagnostic, ...]:
    return analysed(Origin(text, Path("spec.yaml"))).diagnostics


def mended(text: str) -> list[str]:
    """Return the texts after each fix of the first diagnostic."""
    first, *others = found(text)
    return [fix.applied(text) for fix in fixes(first, text, [first, *others], found)]


@pytest.mark.parametrize("code", MENDED)
def test_the_example_of_a_page_is_mended(code: str) -> None:
    example = re.search(r"```yaml[^\n]*\n(.*?)```", (PAGES / f"{code}.md").read_text(), re.DOTALL)
    assert example is not None
    text = example[1]
    (first, *_) = found(text)
    assert first.code == code
    results = mended(text)
    assert results
    assert all(first.message not in [each.message for each in found(after)] for after in results)


def test_what_does_not_mend_is_no_fix() -> None:
    """The help shows a form, and not what is to stand there."""
    text = "spec: 1\nblocks: {'Block(*more)': [ReLU]}\n"
    assert found(text)[0].help == "write `Name(a, b=1)`"
    assert mended(text) == []


def test_a_word_in_quotes_keeps_them() -> None:
    text = "spec: 1\ninputs: {x: 'float32[n, 4]'}\nmodel: ['Linaer(4)', ReLU]\n"
    assert mended(text) == [text.replace("Linaer", "Linear")]
