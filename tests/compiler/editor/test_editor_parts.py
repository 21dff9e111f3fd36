"""Parts of the editor that are tried alone: places, the names of sizes, texts that are broken, work that is stale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position, TextEdit

from compiler.catalogue.plugins import Registry
from compiler.editor.analysis import Origin, StaleError, analysed
from compiler.editor.completion import completion
from compiler.editor.document import Document, shifted
from compiler.editor.in_code import opened
from compiler.editor.markdown import code, prose
from compiler.editor.positions import Places
from compiler.editor.reading import LARGE, around, readable, spot_to_complete
from compiler.editor.renames import edits
from compiler.editor.sizes import Naming, scaled

TEXTS = st.text(st.sampled_from("ab:é𝛑\n\r {}#-"), max_size=40)
SIZES = {"batch": 2, "time": 16, "steps": 16}


@given(TEXTS, st.integers(0, 40))
def test_a_place_leads_back_to_its_character(text: str, offset: int) -> None:
    places, at = Places(text), min(offset, len(text))
    position = places.position(at)
    before = text[:at].rpartition("\n")[2].removesuffix("\r")
    assert position.character >= len(before.encode("utf-16-le")) // 2
    if "\r" not in text:
        assert places.offset(position) == at


def test_places_are_counted_in_utf_16() -> None:
    places = Places("a: 𝛑x\n")
    assert places.position(4) == Position(0, 5)
    assert places.offset(Position(0, 5)) == 4
    assert places.offset(Position(0, 99)) == 5
    assert places.offset(Position(9, 0)) == 6


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (("batch", "time", 512), "[batch, time, 512]"),
        (("batch", "steps", 8), "[batch, steps, 8]"),
        ((2, 16, 512), "[2, 16, 512]"),  # of these sizes by chance
        (("batch*time", "2*time"), "[batch*time, 2*time]"),
        (("time/4",), "[time/4]"),
        (("time+1",), "[17]"),
    ],
)
def test_sizes_are_named_where_they_grow_with_dimensions(shape: tuple[object, ...], text: str) -> None:
    one, other = (
        torch.empty([int(eval_size(each, sizes)) for each in shape], device="meta")
        for sizes in (SIZES, scaled(SIZES))
    )
    assert Naming(SIZES).text(one, other) == text


def eval_size(size: object, sizes: dict[str, int]) -> float:
    """Return a size such as `2*time`."""
    if isinstance(size, int):
        return size
    text = str(size)
    for sign, function in (("+", float.__add__), ("/", float.__truediv__), ("*", float.__mul__)):
        if sign in text:
            parts = [float(sizes.get(part, 0) or part) for part in text.split(sign)]
            return function(*parts)
    return sizes[text]


def test_values_of_several_kinds_have_a_text() -> None:
    naming = Naming(SIZES)
    image = torch.empty(2, 3, device="meta", dtype=torch.int64)
    assert naming.text((image, 4, None)) == "(int64[2, 3], 4, None)"
    assert naming.text([image] * 8) == "[" + "int64[2, 3], " * 6 + "…]"
    assert naming.text({"a": image}) == "{a: int64[2, 3]}"
    assert [naming.text(each) for each in (True, 1.5, "text", None, [])] == [None] * 5


def test_what_is_stale_ends() -> None:
    text = "spec: 1\ninputs: {x: 'float32[n, 4]'}\nmodel: [Linear(3)]\n"
    with pytest.raises(StaleError):
        analysed(Origin(text, Path("spec.yaml")), lambda: True)


def test_lines_that_break_the_syntax_are_passed_over() -> None:
    root = readable("spec: 1\nvars: {a: 1\nmodel:\n  layers:\n    one: [Linear(\n    two: ReLU\n", "x.yaml")
    assert root is not None
    assert [*root] == ["spec", "model"]
    assert readable("\0", "x.yaml") is None


def test_of_a_long_text_the_block_around_a_place_is_read() -> None:
    blocks = "".join(f"  B{n}:\n    # of it\n    layers:\n      a{n}: Linear(4)\n" for n in range(700))
    text = f"spec: 1\nblocks:\n{blocks}model: [B0]\n"
    assert len(text) > LARGE
    offset = text.index("a300: Linear(") + 13
    piece, start = around(text, offset, "x.yaml")
    assert piece == "blocks:\n  B300:\n    # of it\n    layers:\n      a300: Linear(4)\n"
    assert piece[: offset - start].endswith("a300: Linear(")
    spot = spot_to_complete(text, offset, "x.yaml")
    assert spot is not None
    assert (spot.use.block, spot.before) == ("B300", "Linear(")
    assert around(text, text.index("[B0]"), "x.yaml")[0] == "model: [B0]\n"


@given(TEXTS, TEXTS)
def test_edits_make_one_text_of_another(old: str, new: str) -> None:
    text = old
    for edit in reversed([*edits(old, new)]):
        text = text[: edit.start] + edit.text + text[edit.end :]
    assert text == new


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_what_did_not_change_moves_along(before: str, old: str, new: str, behind: str) -> None:
    one, other = before + old + behind, before + new + behind
    for at in range(len(before) + 1):
        assert shifted(at, one, other) == at or old == new
    place = len(before + old)
    moved = shifted(place, one, other)
    lines = (one[:place].rpartition("\n")[2], other[:moved].rpartition("\n")[2])
    assert moved is None or lines[0] == lines[1] or one[place:] == other[moved:]


def test_the_call_that_a_place_is_in() -> None:
    call = opened("y = softmax(x.sum(1), dim=1, ")
    assert call is not None
    assert (call.name, call.is_method, call.given) == ("softmax", False, ("dim",))
    assert call.positional == 1
    call = opened("f(a, g(b, c), [d, e], ', ', k=h(1, 2), ")
    assert call is not None
    assert call.positional == 4
    call = opened("y = x.view(a, f(2)[")
    assert call is not None
    assert (call.name, call.is_method) == ("view", True)
    assert opened("y = f(x)") is None
    assert opened("rearrange(x, 'b (c d) -> b c d'") is not None


def test_editors_that_take_snippets_get_places_for_the_cursor() -> None:
    document = Document("file:///spec.yaml")
    document.change("spec: 1\ninputs: {x: 'float32[n, 4]'}\nmodel:\n  - Lin\n  - Lin()\n  - G\n")

    def written(line: int, column: int, label: str, snippets: bool = True) -> str:
        found = completion(document, Position(line, column), Registry(), snippets)
        (item,) = (each for each in found if each.label == label)
        assert isinstance(item.text_edit, TextEdit)
        return item.text_edit.new_text

    assert written(3, 7, "Linear") == "Linear($1)"
    assert written(3, 7, "Linear", snippets=False) == "Linear"
    assert written(4, 7, "Linear") == "Linear"  # its brackets are there
    assert written(5, 5, "GELU") == "GELU"  # which needs no argument


def test_a_text_of_a_spec_is_no_markdown() -> None:
    text = "see ![it](https://example.org/a.png) `or` <img> | *that*\n"
    assert prose(text) == (r"see \!\[it\]\(https\:\/\/example\.org\/a\.png\) \`or\` \<img\> \| \*that\*\\n")
    assert code(text) == r"`see ![it](https://example.org/a.png) 'or' <img> \| *that*\n`"
