"""The search of a page reads the language of the rules: the same selectors name the same modules and tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.artifact import Artifact
from compiler.drawing.drawing import Drawing
from compiler.drawing.javascript import answer
from compiler.drawing.svg import svg
from compiler.extras import DRAW
from spec_schema.diagnostics import SpecError
from spec_schema.selectors import Step, parse_selector
from tests.compiler.drawing.pictures import stale

pytestmark = pytest.mark.skipif(bool(DRAW.missing()), reason="the extra `draw` is not installed")
WRITTEN = (
    *("Linear", "Linear.bias", "/h", "h.*", "h.**.weight", "**", "/", "/**", "h[0]", "h[-1]", "h[1:]", "h[:depth - 2]"),
    *("h[::2].up", "h[-1].down.weight", "h.[0-2]", "h.{0,3}.norm", "{embed,head}", "?p", "[a-f]*", "[!a-f]*", "*[hm]"),
    *("Block.up", "h.0.Linear.weight", "norm*", "n?rm.weight", "h[5]", "h[1:3:1]", "Block[0]", "**.**", "h[3:0:-1]"),
    *("", ".", "h.", "h..0", "h[", "h[]", "h[1", "{a", "[12]"),
    *("[9-1]", "h[a-b]", "h[01-2]", "***.*****", "h[1]x", "h[::0]"),
)  # fmt: skip
PIECES = [
    "h",
    "0",
    "3",
    "up",
    "norm",
    "*",
    "**",
    "?",
    "Linear",
    "{up,down}",
    "[0-2]",
    "[a-n]*",
    ".",
    ".",
    ".",
    "/",
    "[1]",
    "[:2]",
    "[-1]",
]


def paths_of(drawing: Drawing) -> list[Sequence[Step]]:
    return [*drawing.modules, *drawing.tensors.values()]


def by_python(artifact: Artifact, text: str, paths: Sequence[Sequence[Step]]) -> list[list[bool]] | None:
    """Return which paths a selector names, and which it matches; None if it is none."""
    try:
        selector = parse_selector(text, None).bound(artifact.inferred.root.values)
    except SpecError:
        return None
    return [[selector.names(path), selector.matches(path)] for path in paths]


def by_page(
    texts: Sequence[str], paths: Sequence[Sequence[Step]], variables: dict[str, object]
) -> list[object]:
    steps = [[[s.name, s.kind, s.place, s.base] for s in path] for path in paths]
    given = (
        f"const texts = {json.dumps(texts)}, paths = {json.dumps(steps)}, names = {json.dumps(variables)};"
    )
    found: list[object] = json.loads(
        answer(
            f"""{given} return JSON.stringify(texts.map((text) => {{
              try {{
                const selector = parseSelector(text, names);
                return paths.map((path) => [namesPath(selector, path), matchesPath(selector, path)]);
              }} catch (error) {{
                if (error instanceof SelectorFault) return null;
                throw error;
              }}
            }}));"""
        )
    )
    return found


def agree(artifact: Artifact, drawing: Drawing, texts: Sequence[str]) -> None:
    paths = paths_of(drawing)
    found = by_page(texts, paths, dict(drawing.variables))
    for text, page in zip(texts, found, strict=True):
        assert page == by_python(artifact, text, paths), text


def test_what_is_written_in_rules(artifact: Artifact, drawing: Drawing) -> None:
    agree(artifact, drawing, WRITTEN)


@given(
    st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join), min_size=20, max_size=20)
)
def test_whatever_can_be_written(artifact: Artifact, drawing: Drawing, texts: list[str]) -> None:
    agree(artifact, drawing, texts)


def test_an_svg_stands_alone(drawing: Drawing) -> None:
    text = svg(drawing)
    assert text.startswith("<svg ")
    assert "LayerNorm" in text
    assert "[batch, time, 8]" in text
    assert "prefers-color-scheme: dark" in text


def test_the_pictures_of_the_documents_are_as_they_are_drawn_now() -> None:
    assert list(stale()) == []
