"""The canonical form of a spec's text says the same as the text, has its comments, and is its own canonical form."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

import compiler
from runtime.testing.strategies.specs import Document, specs
from runtime.testing.strategies.trainings import trained_specs
from spec_schema.canonical import plain, to_json
from spec_schema.diagnostics import SpecError
from spec_schema.formatting.canonical_form import as_json, as_yaml, formatted
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text

Draw = st.DrawFn
_REMARK = re.compile(r"# \d+!")


@st.composite
def texts(draw: Draw, documents: st.SearchStrategy[Document]) -> str:
    """Draw a spec in some layout, as ruamel writes it, with comments wherever they are ones."""
    document = draw(documents)
    offset = draw(st.sampled_from([0, 1, 2]))
    indents = {"mapping": draw(st.sampled_from([2, 3, 4])), "sequence": offset + 2, "offset": offset}
    value = _laid_out(draw, document)
    text = _dumped(value, draw(st.sampled_from([20, 60, 1000])), indents)
    if _value(text) is None:  # it breaks keys in two
        text = _dumped(value, 1000, indents)
    return _remarked(draw, text)


def _dumped(value: Any, width: int, indents: dict[str, int]) -> str:
    writer, stream = YAML(), StringIO()
    writer.width = width
    writer.indent(**indents)
    writer.dump(value, stream)
    return stream.getvalue()


def _laid_out(draw: Draw, value: Any, key: object = None) -> Any:
    """Return a value whose lists and mappings are in brackets, or on lines of their own."""
    if not isinstance(value, dict | list):
        return value
    found: Any = CommentedMap() if isinstance(value, dict) else CommentedSeq()
    if isinstance(value, dict):
        found |= {key: _laid_out(draw, each, key) for key, each in value.items()}
    else:
        found.extend(_laid_out(draw, each) for each in value)
    found.fa.set_flow_style() if key is not None and draw(st.booleans()) else found.fa.set_block_style()
    return found


def _remarked(draw: Draw, text: str) -> str:
    """Return a text with comments and empty lines added in places where they change no value."""
    value = _value(text)
    for number in range(draw(st.integers(0, 5))):
        lines = text.split("\n")
        at = draw(st.integers(0, len(lines) - 1))
        remark = f"# {number}!"
        if draw(st.booleans()):
            lines[at] += f"  {remark}"
        else:
            blank = [""] if draw(st.booleans()) else []
            lines[at:at] = [*blank, " " * draw(st.integers(0, 8)) + remark]
        if _value("\n".join(lines)) == value:
            text = "\n".join(lines)
    return text


def _value(text: str) -> object:
    try:
        return plain(read_text(text, "a.yaml", DEFAULT_LIMITS))
    except SpecError:
        return None


@given(texts(specs()))
def test_the_canonical_form_of_a_text_compiles_to_the_same_artifact(text: str) -> None:
    found = _canonical(text)
    assert compiler.compile_text(text, name="a.yaml") == compiler.compile_text(found, name="a.yaml")


@given(texts(trained_specs().map(lambda trained: trained.document)))
def test_the_canonical_form_of_a_training_has_the_same_values(text: str) -> None:
    _canonical(text)


@given(texts(specs()))
def test_a_spec_is_the_same_in_json_and_back(text: str) -> None:
    json = as_json(text, "a.yaml")
    back = as_yaml(json, "a.json")
    assert (formatted(json, "a.json"), formatted(back, "a.yaml")) == (json, back)
    assert as_json(back, "a.yaml") == json
    assert plain(read_text(back, "a.yaml", DEFAULT_LIMITS)) == _value(text)
    assert json == as_json(to_json(_value(text)), "a.json")


def _canonical(text: str) -> str:
    """Return the canonical form of a text, and make sure of what it promises."""
    found = formatted(text, "a.yaml")
    assert formatted(found, "a.yaml") == found
    assert _value(found) == _value(text)
    assert sorted(_REMARK.findall(found)) == sorted(_REMARK.findall(text))
    for remark in _REMARK.findall(text):
        assert _value(found.replace(remark, "")) == _value(text), f"`{remark}` is no comment"
    return found
