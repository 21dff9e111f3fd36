"""Reading specs: values, places, limits, and what is refused with which words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_schema.canonical import plain
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.reader import Entries, Items, Node, Scalar, read_bytes, read_file, read_text

unhurried = settings(deadline=None)


def read(text: str, name: str = "a.yaml", limits: Limits = DEFAULT_LIMITS) -> Node:
    return read_text(text, name, limits)


def refused(text: str, name: str = "a.yaml", limits: Limits = DEFAULT_LIMITS) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        read_text(text, name, limits)
    return caught.value.diagnostics


def attempt(text: str, name: str = "a.yaml") -> tuple[Node | None, tuple[Diagnostic, ...]]:
    try:
        return read(text, name), ()
    except SpecError as error:
        return None, error.diagnostics


def scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
        return
    if isinstance(node, Entries):
        yield from node.keys_at.values()
    for child in node.values() if isinstance(node, Entries) else node:
        yield from scalars(child)


# ---------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("true", "True", "TRUE")],
        *[(word, False) for word in ("false", "False", "FALSE")],
        *[(word, None) for word in ("null", "Null", "NULL", "~")],
        *[(word, word) for word in ("no", "yes", "on", "Off", "y", "tRUE", "nULL", "12:30:45", "2024-01-01")],
        *[(word, word) for word in ("+", ".", "1.2.3", "1e", "e3", ".e3", "0x", "0xg", "0o8", "_1", "-a")],
        *[("0", 0), ("-0", 0), ("12", 12), ("-12", -12), ("+5", 5), ("0x1F", 31), ("0o17", 15)],
        *[("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("-1.5E+3", -1500.0), ("1e3", 1000.0), ("0.0", 0.0)],
        *[("'1'", "1"), ('"true"', "true"), ("''", ""), ('"null"', "null"), ("nan", "nan"), ("inf", "inf")],
        ("Linear(3 * dim)", "Linear(3 * dim)"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    node = read(f"a: {text}\n")
    assert isinstance(node, Entries)
    found = node["a"]
    assert isinstance(found, Scalar)
    assert (found.value, type(found.value)) == (value, type(value))
    assert found.span.text == text


@pytest.mark.parametrize("text", ["", " # nothing"])
def test_an_absent_value_is_null(text: str) -> None:
    assert plain(read(f"a:{text}\nb: 1")) == {"a": None, "b": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("- 1\n- [2, {a: 3}]\n", [1, [2, {"a": 3}]]),
        ("a:\n- 1\n- 2\nb:\n  - c: 1\n    d: 2\n", {"a": [1, 2], "b": [{"c": 1, "d": 2}]}),
        ("a: |\n  x\n   y\n\nb: >-\n  x\n  y\n", {"a": "x\n y\n", "b": "x y"}),
        (
            "Attention(dim, heads):\n  - GELU(approximate='tanh')",
            {"Attention(dim, heads)": ["GELU(approximate='tanh')"]},
        ),
        ("a: [x: 1]", {"a": [{"x": 1}]}),
        ("a: {b: '(', c: (x, d: 1}", {"a": {"b": "(", "c": "(x", "d": 1}}),
        ("%YAML 1.2\n--- # spec\na: 1\n...\n", {"a": 1}),
        ("'<<': 1", {"<<": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", {"a": 1, "b": "x\ny\n"}),
        ("a: x\u2028y\x85z\nb: 'p \u2029 q'", {"a": "x\u2028y\x85z", "b": "p \u2029 q"}),
        ('"\\ud83d\\ude00\\/"', "😀/"),
        ("a: &x [1, 2]\nb: *x\nc: {d: *x}", {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}),
        ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
    ],
)
def test_documents(text: str, value: object) -> None:
    assert plain(read(text)) == value


def test_an_alias_shares_the_anchored_value() -> None:
    node = read("a: &x {b: 1}\nc: *x")
    assert isinstance(node, Entries)
    assert node["a"] is node["c"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-DEFAULT_LIMITS.integer, DEFAULT_LIMITS.integer)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@unhurried
@given(
    json_values,
    st.sampled_from([None, 0, 1, 4, "\t"]),
    st.booleans(),
    st.sampled_from([(",", ":"), (" ,\n", "\t: ")]),
)
def test_json_reads_as_python_reads_it(
    value: object, indent: int | str | None, ascii_only: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, separators=separators)
    node = read(text, "a.json")
    assert json.dumps(plain(node)) == json.dumps(json.loads(text))
    for scalar in scalars(node):
        assert json.loads(scalar.span.text) == scalar.value


@pytest.mark.parametrize(
    "text", ['"\\/\\b\\u00e9\\ud83d\\ude00"', '{"a"\n:\t1}', '["\x7f\x80\ufffe"]', "-0.0", "1E5"]
)
def test_json_that_yaml_would_not_take(text: str) -> None:
    assert plain(read(text, "a.json")) == json.loads(text)


@unhurried
@given(st.text(alphabet='{}[]",:\\ \n\t01e-.truefalsn/u\x7f', max_size=30))
def test_json_takes_exactly_what_python_takes(text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        assert {found.code for found in refused(text, "a.json")} <= {"json-syntax", "empty-document"}
        return
    node, found = attempt(text, "a.json")
    assert {diagnostic.code for diagnostic in found} <= {"integer-range", "not-a-number", "duplicate-key"}
    assert node is None or json.dumps(plain(node)) == json.dumps(value)


# ---------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("text", "path", "span"),
    [
        ("a:\n  - x: 1\n    y: [1,\n      2]\n\n\nb: 1\n", ["a"], "- x: 1\n    y: [1,\n      2]"),
        ("a:\n  - x: 1\n\n# c\nb: 1\n", ["a", 0], "x: 1"),
        ("a: { b: 1 , c: [ ] }  # c\n", ["a"], "{ b: 1 , c: [ ] }"),
        ("a:\n- 1\n- 2\nb: 3", ["a"], "- 1\n- 2"),
        ("a: |\n  x\n\n\nb: 3", ["a"], "|\n  x"),
        ("a: [x: 1, 2]", ["a", 0], "x: 1"),
        ("a: &k  {b: 1}", ["a"], "{b: 1}"),
        ("a: &k # c\n  b: 1\n", ["a"], "b: 1"),
        ("a: &k 'v'", ["a"], "'v'"),
        ("a: &k\nb: 1", ["a"], ""),
        ("a: &x [1]\nb: [2, *x]\nc: 1", ["b"], "[2, *x]"),
        ("- &x 1\n- - 2\n  - *x\n\n", [1], "- 2\n  - *x"),
        ("a: x\n  y\n", ["a"], "x\n  y"),
    ],
)
def test_spans(text: str, path: list[Any], span: str) -> None:
    node: Any = read(text)
    for step in path:
        node = node[step]
    assert node.span.text == span


def test_keys_have_places() -> None:
    node = read("a: 1\n'b c': 2")
    assert isinstance(node, Entries)
    assert {key: str(at.span) for key, at in node.keys_at.items()} == {"a": "a.yaml:1:1", "b c": "a.yaml:2:1"}
    assert node.keys_at["b c"].span.text == "'b c'"


Piece = tuple[str, str]
"""As written, and as decoded."""

words = st.text(alphabet="abé√😀()=*.", min_size=1, max_size=4)
fold_pieces = st.one_of(
    st.tuples(st.sampled_from(["", " ", "   "]), st.sampled_from(["\n", "\r\n"])).map(
        lambda p: (f"{p[0]}{p[1]}  ", " ")
    ),
    st.integers(1, 3).map(lambda n: ("\n" + "  \n" * n + "   ", "\n" * n)),
)
space_pieces = st.sampled_from([(" ", " "), ("  ", "  ")])
single_words = words.map(lambda w: (w, w)) | st.just(("''", "'")) | st.just(('"\\', '"\\'))
ESCAPES = {
    "\\n": "\n",
    "\\t": "\t",
    "\\\\": "\\",
    '\\"': '"',
    "\\/": "/",
    "\\ ": " ",
    "\\N": "\x85",
    "''": "''",
}
ESCAPES |= {"\\x41": "A", "\\u00e9": "é", "\\U0001F600": "😀", "\\ud83d\\ude00": "😀"}
double_words = words.map(lambda w: (w, w)) | st.sampled_from(sorted(ESCAPES.items()))


def alternating(
    word: st.SearchStrategy[Piece], gap: st.SearchStrategy[Piece]
) -> st.SearchStrategy[list[Piece]]:
    rest = st.lists(st.tuples(gap, word), max_size=6)
    return st.tuples(word, rest).map(
        lambda found: [found[0], *(piece for pair in found[1] for piece in pair)]
    )


def expected_places(pieces: list[Piece], start: int) -> list[tuple[int, int]]:
    """Return the range in which each decoded character must lie, by how the text was put together."""
    places = []
    for written, decoded in pieces:
        if written == decoded:
            places += [(start + i, start + i + 1) for i in range(len(decoded))]
        else:
            places += [(start, start + len(written))] * len(decoded)
        start += len(written)
    return places


def check_pieces(quote: str, pieces: list[Piece]) -> None:
    before, after = "k:\n  - [1, " + quote, quote + "]\n"
    text = before + "".join(written for written, _ in pieces) + after
    node: Any = read(text)
    scalar = node["k"][0][1]
    assert scalar.value == "".join(decoded for _, decoded in pieces)
    previous = -1
    for index, (first, last) in enumerate(expected_places(pieces, len(before))):
        span = scalar.locate(index, index + 1)
        assert first <= span.start < span.end <= last
        assert span.start > previous
        if last - first == 1:
            assert span.text == scalar.text[index]
        elif "\\" in text[first:last] and "\n" not in text[first:last]:
            assert (span.start, span.end) == (first, last)
        previous = span.start


@unhurried
@given(alternating(single_words, fold_pieces | space_pieces))
def test_places_in_single_quotes(pieces: list[Piece]) -> None:
    check_pieces("'", pieces)


@unhurried
@given(
    alternating(
        double_words, fold_pieces | space_pieces | st.sampled_from([("\\\n   ", ""), (" \\\n \n ", " \n")])
    )
)
def test_places_in_double_quotes(pieces: list[Piece]) -> None:
    check_pieces('"', [piece for piece in pieces if piece != (" \\\n \n ", " \n")])


def test_an_escaped_line_break_is_nothing_and_the_next_one_counts() -> None:
    node: Any = read('a: "x \\\n\n   y"')
    assert node["a"].value == "x \ny"
    assert [str(node["a"].locate(i, i + 1)) for i in range(4)] == [
        "a.yaml:1:5",
        "a.yaml:1:6",
        "a.yaml:2:1",
        "a.yaml:3:4",
    ]


@unhurried
@given(
    alternating(
        st.sampled_from(["Linear(3", "a*b)", "x''y", "\\n", "é😀"]).map(lambda w: (w, w)),
        fold_pieces | space_pieces,
    )
)
def test_places_in_plain_scalars(pieces: list[Piece]) -> None:
    check_pieces("", pieces)


block_lines = st.lists(
    st.text(alphabet="ab é😀#:'\"\\\t", max_size=6).map(str.rstrip), min_size=1, max_size=6
).filter(lambda lines: any(lines))


@st.composite
def blocks(draw: st.DrawFn, sign: str) -> tuple[str, int]:
    """Give a document with a block scalar under `k`, and the number of columns that are not its text."""
    lines = draw(block_lines)
    parent = draw(st.sampled_from([0, 2]))
    depth = draw(st.integers(1, 4))
    indicator = str(depth) if next(line for line in lines if line)[0] in " \t" or draw(st.booleans()) else ""
    header = sign + draw(st.permutations([indicator, draw(st.sampled_from(["", "-", "+"]))]).map("".join))
    indent = parent + depth
    body = [" " * indent + line if line else " " * draw(st.integers(0, indent)) for line in lines]
    if not indicator:
        first = next(i for i, line in enumerate(lines) if line)
        body[:first] = [""] * first
    ending = draw(st.sampled_from(["", "\n", "\n\n\n", "\nz: 1\n", "\n\n# c\nz: 1"]))
    start = "" if parent == 0 else "o:\n  "
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return f"{start}k: {header}{draw(st.sampled_from(['', ' # c']))}\n{chr(10).join(body)}{ending}".replace(
        "\n", newline
    ), indent


def check_block(document: tuple[str, int]) -> None:
    text, indent = document
    node: Any = read(text)
    scalar = node.get("o", node)["k"]
    before = scalar.span.start
    for index, char in enumerate(scalar.text):
        span = scalar.locate(index, index + 1)
        assert span.start > before
        before = span.start
        if char in "\n" or (span.text.strip("\r\n") == "" and char == " "):
            assert span.text in ("\n", "\r\n")
        else:
            assert span.text == char
            assert span.file.position(span.start)[1] > indent
    written = "".join(text[scalar.span.start : scalar.span.end].split()[1:])
    if not written.startswith("#"):
        assert "".join(scalar.text.split()) == written


@unhurried
@given(blocks("|"))
def test_places_in_literal_blocks(document: tuple[str, int]) -> None:
    check_block(document)


@unhurried
@given(blocks(">"))
def test_places_in_folded_blocks(document: tuple[str, int]) -> None:
    check_block(document)


def test_places_in_a_program() -> None:
    node: Any = read("forward: |\n  x = a(x)\n\n  return b(x)\n")
    program = node["forward"]
    start = program.text.index("b(x)")
    assert str(program.locate(start, start + 4)) == "a.yaml:4:10"
    assert program.locate(start, start + 4).text == "b(x)"


def test_places_at_the_edges() -> None:
    node: Any = read("a: 'x''y'\nb: ''\nc: word")
    a, b, c = node["a"], node["b"], node["c"]
    assert a.locate(0, 3).text == "x''y"
    assert (a.locate(3, 3).start, a.locate(3, 3).text) == (a.span.end - 1, "")
    assert a.locate(-5, 99).text == "x''y"
    assert a.locate(2, 1).text == ""
    assert b.locate(0, 0) == b.span
    assert (c.locate(4, 4).start, c.locate(1, 3).text) == (c.span.end, "or")


SOUP = [
    "a",
    "b: ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "'",
    '"',
    "|",
    ">",
    "|+\n",
    "\\",
]
SOUP += [
    "\\x4",
    "&a ",
    "*a",
    "!t ",
    "# ",
    "%YAML 1.2\n",
    "---\n",
    "...\n",
    "? ",
    "<<: ",
    "\t",
    "1",
    "010",
    ".nan",
]
SOUP += [
    "é",
    "\u2028",
    "@",
    "`",
    "\r\n",
    "\\ud83d",
    "\\U00110000",
    "~",
    "&",
    "*",
    "!",
    "!!a",
    ">2-\n",
    "\x00",
]
SOUP += ["\ufeff", "\ufffe", "\r", "''", '\\"', "\\\n", "x y", "  ", "\n\n", "k: |\n  x\n"]
yaml_soup = st.lists(st.sampled_from(SOUP), max_size=25).map("".join)


@settings(unhurried, max_examples=1000)
@given(yaml_soup, st.sampled_from(["a.yaml", "a.json"]))
def test_any_text_reads_or_is_refused_with_a_place(text: str, name: str) -> None:
    node, found = attempt(text, name)
    assert (node is None) == bool(found)
    for diagnostic in found:
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
        assert "\n" not in diagnostic.message
        assert len(diagnostic.message) + len(diagnostic.help or "") < 300
    for scalar in scalars(node) if node is not None else ():
        for index in range(len(scalar.text)):
            span = scalar.locate(index, index + 1)
            assert scalar.span.start <= span.start < span.end <= len(text)


@settings(unhurried, max_examples=300)
@given(st.binary(max_size=40) | yaml_soup.map(str.encode))
def test_any_bytes_read_or_are_refused(data: bytes) -> None:
    try:
        read_bytes(data, "a.yaml", DEFAULT_LIMITS)
    except SpecError as error:
        codes = {found.code for found in error.diagnostics if found.span}
    else:
        codes = set()
    assert ("not-utf8" in codes) == ("\ufffd" in data.decode("utf-8", "replace"))


# ---------------------------------------------------------------------------------------------- refusals

REFUSED = [
    # text, code, the text pointed at, a part of the help
    ("a:\n\tb: 1", "yaml-syntax", "\t", "indent with spaces"),
    ("a: b\tc", "yaml-syntax", "\t", "use spaces"),
    ("a: b: c # d", "yaml-syntax", ":", "quote it: 'b: c'"),
    ("- it's: a: b", "yaml-syntax", ":", "quote it: 'a: b'"),
    ("a: foo\n  b: 1", "yaml-syntax", ":", "check the indentation"),
    ("a: 'x", "yaml-syntax", "'", "close it with `'`"),
    ('a: [1, "x]', "yaml-syntax", '"', 'close it with `"`'),
    ("a: [1, 2\nb: 3", "yaml-syntax", "[", "close it with `]`"),
    ("a: {b: [1, 2]", "yaml-syntax", "{", "close it with `}`"),
    ("a: [", "yaml-syntax", "[", "close it with `]`"),
    ("a: [[1]\n", "yaml-syntax", "[", "close it with `]`"),
    ("a: [1, 2}", "yaml-syntax", "}", "quote a value"),
    ("a: [x, y}", "yaml-syntax", "}", "quote a value"),
    ("a: @x", "yaml-syntax", "@", "quote the value"),
    ("a: 'b' c", "yaml-syntax", "c", "quote the whole value"),
    ("- {a,b}.weight: 1", "yaml-syntax", ".", "starts with a bracket"),
    ("- *.bias: zeros", "yaml-syntax", "*.bias:", "needs quotes: '*.bias'"),
    ("a: [*x, 1]", "yaml-syntax", "*x", "needs quotes: '*x'"),
    ("a: * b", "yaml-syntax", "*", "quote the whole value"),
    ("a:\n  b: 1\n c: 2", "yaml-syntax", "c", "same column"),
    ("a: 1\nb\nc: 2", "yaml-syntax", "b", "write `: ` behind the key"),
    ("a: - b", "yaml-syntax", "-", "on a line of its own"),
    ("a: [1,,2]", "yaml-syntax", ",", None),
    ("a: {b: Linear(3, 4)}", "torn-call", ",", 'write "Linear(3, 4)"'),
    ("a: {b: f(3, x='y', 'z'), c: 1}", "torn-call", ",", "write \"f(3, x='y', 'z')\""),
    ("a: [1, f(3, [1, 2]), 2]", "torn-call", ",", 'write "f(3, [1, 2])"'),
    ("a: [1, f(3, x=1), g(2)]", "torn-call", ",", 'write "f(3, x=1)"'),
    ("a: [b: f(3, \n4), c]", "torn-call", ",", 'write "f(3, 4)"'),
    ("a: {b: float[c, 3]}", "yaml-syntax", "[", 'quote it: "float[c, 3]"'),
    ("a: [1, h[0].x]", "yaml-syntax", "[", 'quote it: "h[0].x"'),
    ("- \nb: 1", "yaml-syntax", "b", "check the indentation"),
    ('a: "\\q"', "yaml-syntax", "\\q", "single quotes"),
    ('a: "\\x1"', "yaml-syntax", "\\x", None),
    ('a: "\\U00110000"', "yaml-syntax", "\\U00110000", None),
    ('a: "\\ud800"', "yaml-syntax", '"\\ud800"', None),
    ("a: | foo\n  x", "yaml-syntax", "f", "on the next line"),
    ("a: \x00", "yaml-syntax", "\x00", '"\\u0000"'),
    ("a: \x1b[2J", "yaml-syntax", "\x1b", '"\\u001b"'),
    ("%YAML 1.1\n---\na: 1", "yaml-syntax", "%YAML 1.1", "leave the line out"),
    ("%TAG ! x\n---\na: 1", "yaml-syntax", "%TAG ! x", "leave the line out"),
    ("a: !!python/object:x b", "yaml-tag", "!!python/object:x", "leave the tag out"),
    ("a: !foo [1]", "yaml-tag", "!foo", "leave the tag out"),
    ("a: !!str b", "yaml-tag", "!!str", "leave the tag out"),
    ("a: ! b", "yaml-tag", "!", "leave the tag out"),
    ("a: &x !t b", "yaml-tag", "!t", "leave the tag out"),
    ("a: !t &x b", "yaml-tag", "!t", "leave the tag out"),
    ("a: !e!x b", "yaml-tag", "!e!x", "leave the tag out"),
    ("<<: {a: 1}", "merge-key", "<<", "write the keys out"),
    ("1: a", "not-a-string-key", "1", 'quote it: "1"'),
    ("true: a", "not-a-string-key", "true", 'quote it: "true"'),
    ("{: a}", "not-a-string-key", "", "write a key"),
    ("[a]: 1", "not-a-string-key", "[a]", "quote it"),
    ("a: 1\nb: 2\na: 3", "duplicate-key", "a", None),
    ("a: 010", "ambiguous-number", "010", 'write `10` for the number, or `"010"`'),
    ("a: -007", "ambiguous-number", "-007", "write `-7`"),
    ("a: 1_000", "ambiguous-number", "1_000", "write `1000`"),
    ("a: 0b11", "ambiguous-number", "0b11", "decimal"),
    ("a: -0x1F", "ambiguous-number", "-0x1F", "decimal"),
    ("a: .nan", "not-a-number", ".nan", "finite"),
    ("a: -.INF", "not-a-number", "-.INF", "finite"),
    ("a: 1e999", "not-a-number", "1e999", "finite"),
    ("a: 9007199254740992", "integer-range", "9007199254740992", "quote"),
    ("a: 0xfffffffffffffffff", "integer-range", "0xfffffffffffffffff", "quote"),
    ("a: 1\n---\nb: 2", "several-documents", "---", "one file per spec"),
    ("a: &x [*x]", "recursive-alias", "*x", None),
    ("a: &x {b: [1, *x]}", "recursive-alias", "*x", None),
    ("", "empty-document", "", None),
    ("# only a comment\n", "empty-document", "", None),
    ("---\n", "empty-document", "", None),
]

REFUSED_JSON = [
    ("[1,2,]", "json-syntax", "leave the comma out"),
    ('{"a":1,}', "json-syntax", "leave the comma out"),
    ("{'a':1}", "json-syntax", None),
    ('{"a":NaN}', "not-a-number", "finite"),
    ("[-Infinity]", "not-a-number", "finite"),
    ("[1e999]", "not-a-number", "finite"),
    ("[1\n", "json-syntax", "close it with `]`"),
    ('["x', "json-syntax", 'close it with `"`'),
    ("[True]", "json-syntax", "write `true`"),
    ("[1] // x", "json-syntax", "write the spec in YAML"),
    ('["a\tb"]', "json-syntax", None),
    ('"\\ud800"', "json-syntax", None),
    ("[010]", "json-syntax", None),
    ('{"a":1,"a":2}', "duplicate-key", None),
    ("[9007199254740992]", "integer-range", "quote"),
    ("  ", "empty-document", None),
    ("[1] [2]", "json-syntax", None),
]


@pytest.mark.parametrize(("text", "code", "marked", "help"), REFUSED)
def test_refused(text: str, code: str, marked: str, help: str | None) -> None:
    (found,) = refused(text)
    assert found.span is not None
    assert (found.code, found.span.text) == (code, marked)
    assert found.message == found.message.strip(". ")
    assert found.help is None if help is None else help in (found.help or "")


@pytest.mark.parametrize(("text", "code", "help"), REFUSED_JSON)
def test_refused_json(text: str, code: str, help: str | None) -> None:
    (found,) = refused(text, "a.json")
    assert found.span is not None
    assert found.code == code
    assert found.help is None if help is None else help in (found.help or "")


def test_labels_point_at_the_cause() -> None:
    (twice,) = refused("a: 1\nb: 2\na: 3")
    assert [(str(label.span), label.text) for label in twice.labels] == [("a.yaml:1:1", "first written here")]
    (bracket,) = refused("a: [1, 2}")
    assert [str(label.span) for label in bracket.labels] == ["a.yaml:1:4"]


@pytest.mark.parametrize(
    ("text", "line", "help"),
    [
        ("a:\n  - 1\n  - 2\n- 3", 2, "put 2 blanks before it"),
        ("b: 0\na:\n- c: 1\n  d: 2\n# e\n  - f: 3", 3, "take 2 blanks away before it"),
        ("a:\n  - 1\n  - b:\n      - 2\n - 3", 2, "put 1 blank before it"),
        ("a:\n  - - 1\n   - 2", 2, "take 1 blank away before it"),
    ],
)
def test_an_item_at_another_column_than_its_list(text: str, line: int, help: str) -> None:
    (found,) = refused(text)
    assert found.message == f"this item stands at another column than the list of line {line}"
    assert [label.span.line for label in found.labels] == [line]
    assert found.help == help


def test_an_item_below_no_list_is_in_no_list() -> None:
    (found,) = refused("a:\n  - 1\nb:\n  c: 1\n - 2")
    assert found.message == "this line is indented differently from the mapping that it is in"


def test_independent_errors_are_reported_together() -> None:
    found = refused("a: 010\nb: !t 1\na: 2\n3: .nan\n<<: x\nc: 'open")
    codes = [diagnostic.code for diagnostic in found]
    assert codes == [
        *["ambiguous-number", "yaml-tag", "duplicate-key", "not-a-string-key", "not-a-number", "merge-key"],
        "yaml-syntax",
    ]


def test_nesting_is_limited() -> None:
    limits = replace(DEFAULT_LIMITS, nesting=3)
    assert plain(read("[[[1]]]", limits=limits)) == [[[1]]]
    for name in ("a.yaml", "a.json"):
        (found,) = refused('{"a": [[[1]]]}', name, limits)
        assert found.span is not None
        assert (found.code, found.span.start) == ("too-deep", 8)
    assert [found.code for found in refused("- - - - a", limits=limits)] == ["too-deep"]


def test_nesting_counts_what_an_alias_stands_for() -> None:
    limits = replace(DEFAULT_LIMITS, nesting=3)
    assert plain(read("[&a [1], [*a]]", limits=limits)) == [[1], [[1]]]
    assert [found.code for found in refused("[&a [1], [[*a]]]", limits=limits)] == ["too-deep"]
    assert [found.code for found in refused("[&a [[1]], [*a]]", limits=limits)] == ["too-deep"]


@pytest.mark.parametrize("text", ["[", "{a: ", "- ", "? ", '[{"a":', "{", "[["])
@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_endless_nesting_is_refused(text: str, name: str) -> None:
    assert {found.code for found in refused(text * 100_000, name)} <= {
        "too-deep",
        "json-syntax",
        "yaml-syntax",
    }


def test_endless_brackets_are_too_deep() -> None:
    for name in ("a.yaml", "a.json"):
        assert [found.code for found in refused("[" * 10_000, name)] == ["too-deep"]


def test_the_scanner_does_not_read_ahead_beyond_the_limit() -> None:
    # Its time for reading ahead grows with the square of the depth; an error further on shows that it did.
    (found,) = refused("[" * 65 + "@")
    assert (found.code, str(found.span)) == ("too-deep", "a.yaml:1:65")


def test_nodes_are_limited() -> None:
    limits = replace(DEFAULT_LIMITS, nodes=4)
    assert plain(read("[1, 2, 3]", limits=limits)) == [1, 2, 3]
    assert [found.code for found in refused("[1, 2, 3, 4]", limits=limits)] == ["too-many-nodes"]
    assert [found.code for found in refused("[1,2,3,4]", "a.json", limits)] == ["too-many-nodes"]
    assert [found.code for found in refused("{a: 1, b: 2}", limits=limits)] == ["too-many-nodes"]


def test_alias_expansion_is_counted_not_made() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghi")]
    (found,) = refused("\n".join(lines))
    assert found.code == "too-many-nodes"
    assert "aliases" in found.message


def test_alias_growth_is_limited() -> None:
    text = "- &a [1, 2, 3, 4, 5]\n- [*a, *a, *a, *a]\n"
    written, expanded = 12, 32
    assert read(text, limits=replace(DEFAULT_LIMITS, alias_growth=math.ceil(expanded / written)))
    (found,) = refused(text, limits=replace(DEFAULT_LIMITS, alias_growth=expanded // written))
    assert found.code == "too-many-nodes"
    assert read(text, limits=replace(DEFAULT_LIMITS, nodes=expanded))
    assert refused(text, limits=replace(DEFAULT_LIMITS, nodes=expanded - 1))


def test_integers_are_limited_by_the_caller() -> None:
    limits = replace(DEFAULT_LIMITS, integer=10)
    assert plain(read("[10, -10, 0xA]", limits=limits)) == [10, -10, 10]
    assert [found.code for found in refused("[11, -11, 0xB]", limits=limits)] == ["integer-range"] * 3


def test_a_number_of_a_million_digits_is_refused() -> None:
    for name in ("a.yaml", "a.json"):
        assert [found.code for found in refused("[" + "9" * 1_000_000 + "]", name)] == ["integer-range"]


def test_size_is_limited() -> None:
    limits = replace(DEFAULT_LIMITS, file_bytes=5)
    assert plain(read_bytes(b"a: 12", "a.yaml", limits)) == {"a": 12}
    for text in ("a: 123", "a: éé"):
        with pytest.raises(SpecError, match="too-large"):
            read_bytes(text.encode(), "a.yaml", limits)
        assert [found.code for found in refused(text, limits=limits)] == ["too-large"]


def test_bytes_are_utf8() -> None:
    assert plain(read_bytes("\ufeffa: é".encode(), "a.yaml", DEFAULT_LIMITS)) == {"a": "é"}
    with pytest.raises(SpecError) as caught:
        read_bytes(b"a: \xc3\xa9\xff", "a.yaml", DEFAULT_LIMITS)
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.span)) == ("not-utf8", "a.yaml:1:5")
    with pytest.raises(SpecError) as caught:
        read_bytes("a: 1".encode("utf-16"), "a.yaml", DEFAULT_LIMITS)
    assert "UTF-16" in (caught.value.diagnostics[0].help or "")
    assert [found.code for found in refused("a: \ud800")] == ["not-utf8"]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(b'{"a": [1]}')
    node = read_file(path, None, DEFAULT_LIMITS)
    assert isinstance(node, Entries)
    assert isinstance(node["a"], Items)
    assert node.span.file.name == str(path)
    assert read_file(path, "given.json", DEFAULT_LIMITS).span.file.name == "given.json"
    with pytest.raises(SpecError, match="too-large"):
        read_file(path, None, replace(DEFAULT_LIMITS, file_bytes=3))
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none.yaml", None, DEFAULT_LIMITS)
