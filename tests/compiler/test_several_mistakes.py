"""Several mistakes of one spec are all told, where one does not follow from another."""

from __future__ import annotations

import pytest

import compiler
from spec_schema.diagnostics import SpecError

HEAD = 'spec: 1\ninputs: {x: "float32[batch, 3, 8, 8]"}\n'
PROGRAM = f"""{HEAD}model:
  layers: {{conv: "Conv2d(8, 3)", drop: Dropout}}
  forward: |
    x = conv(x)
    PRINT
    return drop(x) REST
"""


def told(text: str) -> list[tuple[str, int]]:
    """Return code and line of each mistake."""
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(text)
    return [(each.code, each.span.line) for each in caught.value.diagnostics if each.span is not None]


def in_list(*layers: str) -> list[tuple[str, int]]:
    return told(f"{HEAD}model:\n" + "".join(f"  - {layer}\n" for layer in layers))


@pytest.mark.parametrize(
    ("layers", "codes"),
    [
        (("Conv2d(8, 3, paddin=1)", "ReLU", "Conv2d(8, 3, bais=False)"), ["unknown-argument"] * 2),
        (("Conv2d(8, 3, paddin=1)", "ReLU", "Dropout(p=1.5)"), ["unknown-argument", "bad-argument"]),
        (("Conv2d(8, 3, padding='sam')", "ReLU", "Dropout(p=1.5)"), ["bad-argument"] * 2),
        (("Dropout(p=1.5)", "ReLU", "Conv2d(8, 3, padding='sam')"), ["bad-argument"] * 2),
        (("Conv2d(8, 9)", "ReLU", "Dropout(p=1.5)"), ["shape-mismatch", "bad-argument"]),
        (("Dropout(p=1.5)", "ReLU", "Conv2d(8, 9)"), ["bad-argument", "shape-mismatch"]),
        (("Dropout(p=1.5)", "ReLU", "Dropout(p=-1)"), ["bad-argument"] * 2),
    ],
)
def test_two_mistakes_in_a_list_of_layers(layers: tuple[str, ...], codes: list[str]) -> None:
    assert in_list(*layers) == [(codes[0], 4), (codes[1], 6)]


def test_what_only_real_sizes_tell_is_not_told_of_layers_that_no_call_reaches() -> None:
    assert in_list("Conv2d(8, 9)", "Conv2d(12, 3, groups=13)", "Flatten", "Linear(4)") == [
        ("shape-mismatch", 4)
    ]


def test_a_mistake_of_a_block_is_told_once() -> None:
    blocks = "blocks:\n  B(p):\n    - Dropout(p)\n"
    text = f"{HEAD}{blocks}model: [B(1.5), B(1.6), 'Conv2d(8, 9)']\n"
    assert told(text) == [("bad-argument", 5), ("shape-mismatch", 6)]


@pytest.mark.parametrize("statement", ["print(x)", "print(x.shape, nothing)", "'a remark'"])
def test_print_hides_nothing(statement: str) -> None:
    text = PROGRAM.replace("PRINT", statement)
    assert told(text.replace("REST", "")) == [("not-in-language", 7)]
    assert told(text.replace("REST", "+ zz")) == [("not-in-language", 7), ("unknown-name", 8)]
    assert told(text.replace("REST", "+ x[:, :2]")) == [("not-in-language", 7), ("shape-mismatch", 8)]
    wrong = text.replace("drop: Dropout", 'drop: "Dropout(1.5)"').replace("REST", "")
    assert told(wrong) == [("bad-argument", 4), ("not-in-language", 7)]


@pytest.mark.parametrize("statement", ["drop(x)", "x.add_(1)", "xs.append(x)"])
def test_what_is_thrown_away_hides_no_names(statement: str) -> None:
    """Whether shapes fit depends on what was meant."""
    text = PROGRAM.replace("PRINT", statement)
    (only,) = told(text.replace("REST", "+ x[:, :2]"))
    assert only[1] == 7
    assert told(text.replace("REST", "+ zz")) == [only, ("unknown-name", 8)]


def test_a_program_that_ends_with_what_is_thrown_away() -> None:
    text = PROGRAM.replace("PRINT", "pass").replace("return drop(x) REST", "drop(x)")
    assert told(text) == [("not-in-language", 8)]
    assert told(text.replace("    drop(x)\n", "    print(x)\n")) == [
        ("not-in-language", 8),
        ("missing-return", 8),
    ]


def test_print_in_a_branch(capsys: pytest.CaptureFixture[str]) -> None:
    text = PROGRAM.replace("PRINT", "if x.sum() > 0:\n      print(x)").replace("REST", "+ zz")
    assert told(text) == [("not-in-language", 8), ("unknown-name", 9)]
    assert capsys.readouterr().out == ""
