"""The text of diagnostics, as a person, an editor and a program get it."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full, render_json, render_short
from spec_schema.source import SourceFile, Span

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def at(file: SourceFile, line: int, text: str) -> Span:
    start = file.text.index(text, file.offset(line, 1))
    return Span(file, start, start + len(text))


def numbered(name: str, lines: dict[int, str]) -> SourceFile:
    return SourceFile(name, "\n".join(lines.get(n, "") for n in range(1, max(lines) + 2)))


def full(*diagnostics: Diagnostic) -> str:
    return render_full(diagnostics, False, DEFAULT_LIMITS)


def layout(text: str) -> str:
    return dedent(text).strip("\n")


RESNET = numbered(
    "specs/zoo/resnet50.yaml",
    {16: "      downsample: {if: project, then: [...]}", 22: "      return relu(y + downsample(x))"},
)
LENET = numbered(
    "specs/lenet.yaml", {9: "  - conv1: Conv2d(6, kernel=5)", 20: "  - Linaer.weight: xavier_uniform"}
)
MLP = numbered("specs/mlp.yaml", {7: "  - Linear(784, 256)"})

SHAPES = Diagnostic(
    "shape-mismatch",
    "`+` needs equal sizes, but dimension 1 differs: 256 and 64",
    at(RESNET, 22, "y + downsample(x)"),
    "y: [batch, 256, 56, 56]   downsample(x): [batch, 64, 56, 56]",
    (Label(at(RESNET, 16, "downsample"), "the identity here, because project = False"),),
    ("in layer1.0, a Bottleneck(width=64, stride=1, project=False) from line 27",),
    "the first block of a stage changes the channels: Bottleneck(width, project=True)",
)
ARGUMENT = Diagnostic(
    "unknown-argument",
    "`Conv2d` has no argument `kernel`",
    at(LENET, 9, "kernel"),
    help="did you mean `kernel_size`?",
)
RULE = Diagnostic(
    "unused-rule",
    "this init rule matches no parameter",
    at(LENET, 20, "Linaer.weight"),
    help="did you mean `Linear.weight`? it matches 3 parameters",
)
INFERRED = Diagnostic(
    "inferred-argument",
    "`in_features` of `Linear` is inferred, so `256` was read as `bias`",
    at(MLP, 7, "256"),
    help="write `Linear(256)`, or `Linear(256, in_features=784)` to have it checked",
)


def test_four_diagnostics() -> None:
    assert full(SHAPES, ARGUMENT, RULE, INFERRED) == layout("""
        error[shape-mismatch]: `+` needs equal sizes, but dimension 1 differs: 256 and 64
          --> specs/zoo/resnet50.yaml:22:19
           |
        22 |       return relu(y + downsample(x))
           |                   ^^^^^^^^^^^^^^^^^ y: [batch, 256, 56, 56]   downsample(x): [batch, 64, 56, 56]
           :
        16 |       downsample: {if: project, then: [...]}
           |       ---------- the identity here, because project = False
           = note: in layer1.0, a Bottleneck(width=64, stride=1, project=False) from line 27
           = help: the first block of a stage changes the channels: Bottleneck(width, project=True)

        error[unknown-argument]: `Conv2d` has no argument `kernel`
          --> specs/lenet.yaml:9:22
           |
         9 |   - conv1: Conv2d(6, kernel=5)
           |                      ^^^^^^
           = help: did you mean `kernel_size`?

        error[unused-rule]: this init rule matches no parameter
          --> specs/lenet.yaml:20:5
           |
        20 |   - Linaer.weight: xavier_uniform
           |     ^^^^^^^^^^^^^
           = help: did you mean `Linear.weight`? it matches 3 parameters

        error[inferred-argument]: `in_features` of `Linear` is inferred, so `256` was read as `bias`
          --> specs/mlp.yaml:7:17
           |
         7 |   - Linear(784, 256)
           |                 ^^^
           = help: write `Linear(256)`, or `Linear(256, in_features=784)` to have it checked
        """)


def test_labels_on_the_same_line_the_next_line_and_in_another_file() -> None:
    file = SourceFile("a.yaml", "x: 1\ny: 2\n\nz: 3\n")
    other = SourceFile("base.yaml", "\n" * 99 + "  w: 4")
    labels = [Label(at(file, 1, "1"), "one"), Label(at(file, 2, "2"), "two"), Label(at(file, 4, "3"), "")]
    labels.append(Label(at(other, 100, "w"), "there"))
    found = Diagnostic("c", "m", at(file, 1, "x"), "here", tuple(labels), severity="warning")
    assert full(found) == layout("""
        warning[c]: m
           --> a.yaml:1:1
            |
          1 | x: 1
            | ^ here
            |    - one
          2 | y: 2
            |    - two
            :
          4 | z: 3
            |    -
           ::: base.yaml:100:3
            |
        100 |   w: 4
            |   - there
        """)


def test_without_a_place() -> None:
    found = Diagnostic(
        "no-gpu", "there is no `cuda`", None, notes=("found: cpu",), help="write `--device cpu`"
    )
    assert full(found) == layout("""
        error[no-gpu]: there is no `cuda`
           = note: found: cpu
           = help: write `--device cpu`
        """)
    assert render_short([found], DEFAULT_LIMITS) == "error[no-gpu]: there is no `cuda`"


def marked(text: str, start: int, end: int) -> tuple[str, str]:
    """Return the line of source and the line of carets, without the gutter."""
    lines = full(Diagnostic("c", "m", Span(SourceFile("a", text), start, end))).split("\n")
    return lines[3][5:], lines[4][5:]


@pytest.mark.parametrize(
    ("text", "start", "end", "source", "carets"),
    [
        ("a\tb: c", 2, 3, "a    b: c", "     ^"),
        ("\ta", 0, 1, "    a", "^^^^"),
        ("日本: x", 0, 2, "日本: x", "^^^^"),
        ("日本: x", 4, 5, "日本: x", "      ^"),
        ("e\u0301 x", 3, 4, "e\u0301 x", "  ^"),
        ("a\x1b[2Jb", 5, 6, "a\\x1b[2Jb", "        ^"),
        ("a\u202eb", 2, 3, "a\\u202eb", "       ^"),
        ("a\U000e0001b", 2, 3, "a\\U000e0001b", "           ^"),
        ("a: x\r\nb", 3, 4, "a: x", "   ^"),
        ("a: [x,  \n y]", 3, 12, "a: [x,  ", "   ^^^"),
        ("ab", 2, 2, "ab", "  ^"),
        ("ab", 0, 0, "ab", "^"),
        ("ab\n", 2, 3, "ab", "  ^"),
        ("", 0, 0, "", "^"),
    ],
)
def test_carets_stand_under_the_text(text: str, start: int, end: int, source: str, carets: str) -> None:
    assert marked(text, start, end) == (source.rstrip(), carets)


def test_long_lines_are_cut_around_the_span() -> None:
    text = "a" * 500 + "SPAN" + "b" * 500
    source, carets = marked(text, 500, 504)
    assert source == "..." + "a" * 40 + "SPAN" + "b" * 53 + "..."
    assert carets == " " * 43 + "^^^^"
    source, carets = marked("SPAN" + "b" * 500, 0, 4)
    assert (source, carets) == ("SPAN" + "b" * 96 + "...", "^^^^")
    source, carets = marked("a" * 500 + "SPAN", 500, 504)
    assert (source, carets) == ("..." + "a" * 40 + "SPAN", " " * 43 + "^^^^")
    source, carets = marked("x" * 500, 10, 400)
    assert (source, carets) == ("x" * 70 + "...", " " * 10 + "^" * 60)
    assert marked("x" * 100, 99, 100) == ("x" * 100, " " * 99 + "^")


def terminal_width(text: str) -> int:
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1) for c in text)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=250), st.integers(0, 250), st.integers(0, 250))
def test_nothing_in_a_spec_reaches_the_terminal_as_a_command(text: str, a: int, b: int) -> None:
    start, end = sorted((min(a, len(text)), min(b, len(text))))
    span = Span(SourceFile(text[:9], text), start, end)
    found = Diagnostic("c", text, span, text, (Label(span, text),), (text,), text)
    for rendered in (full(found), render_short([found], DEFAULT_LIMITS), render_json([found])):
        assert all(char.isprintable() or char == "\n" for char in rendered)
    lines = full(found).split("\n")
    assert all(terminal_width(line) <= 112 for line in lines[3:4])
    assert re.match(r" *\d* \|( |$)", lines[3])


@settings(deadline=None)
@given(st.text(alphabet="ab\t日é\x1b ", max_size=300).map(lambda s: s + "<>" + s), st.booleans())
def test_the_caret_is_where_the_span_is(text: str, zero: bool) -> None:
    start = text.index("<>")
    source, carets = marked(text, start, start + (0 if zero else 2))
    before = source[: source.index("<>")]
    assert carets == " " * terminal_width(before) + ("^" if zero else "^^")


def test_only_so_many_are_shown() -> None:
    limits = replace(DEFAULT_LIMITS, shown=2)
    many = [ARGUMENT, RULE, INFERRED, SHAPES]
    assert render_full(many, False, limits) == full(ARGUMENT, RULE) + "\n\n... and 2 more"
    assert render_short(many, limits).split("\n")[2:] == ["... and 2 more"]
    assert render_full(many[:2], False, limits) == full(ARGUMENT, RULE)
    assert len(json.loads(render_json(many))) == 4


def test_color_changes_nothing_but_color() -> None:
    for found in (SHAPES, replace(SHAPES, severity="warning"), Diagnostic("c", "m", None)):
        colored = render_full([found], True, DEFAULT_LIMITS)
        assert colored != full(found)
        assert ANSI.sub("", colored) == full(found)
    assert "\x1b" not in full(SHAPES)


def test_a_line_each() -> None:
    assert render_short([ARGUMENT, INFERRED], DEFAULT_LIMITS) == (
        "specs/lenet.yaml:9:22: error[unknown-argument]: `Conv2d` has no argument `kernel`\n"
        "specs/mlp.yaml:7:17: error[inferred-argument]: "
        "`in_features` of `Linear` is inferred, so `256` was read as `bias`"
    )


def test_json() -> None:
    found = json.loads(render_json([SHAPES, Diagnostic("c", "m", None, severity="warning")]))
    assert found == [
        {
            "code": "shape-mismatch",
            "severity": "error",
            "message": SHAPES.message,
            "file": "specs/zoo/resnet50.yaml",
            "line": 22,
            "column": 19,
            "end_line": 22,
            "end_column": 36,
            "label": SHAPES.label,
            "labels": [
                {
                    "text": "the identity here, because project = False",
                    "file": "specs/zoo/resnet50.yaml",
                    **{"line": 16, "column": 7, "end_line": 16, "end_column": 17},
                }
            ],
            "notes": list(SHAPES.notes),
            "help": SHAPES.help,
        },
        {
            **{
                "code": "c",
                "severity": "warning",
                "message": "m",
                "file": None,
                "line": None,
                "column": None,
            },
            **{"end_line": None, "end_column": None, "label": "", "labels": [], "notes": [], "help": None},
        },
    ]
