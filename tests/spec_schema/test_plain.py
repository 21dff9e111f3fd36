"""Canonical text: what is written is read again as the same value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_schema.canonical import plain, to_json, to_yaml
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text

texts = st.one_of(
    st.text(),
    st.text(alphabet=" \t\n-:#'\"\\|>a.1_", max_size=12),
    st.lists(st.text(alphabet="ab é:#'", max_size=5), max_size=5).map("\n".join),
    st.sampled_from(
        ["no", "null", "~", "true", "010", "1_000", "1e3", ".inf", "0x1F", "<<", "---", "...", "=", "@a"]
    ),
    st.sampled_from(
        ["a: b", "a #b", "a:", "- a", "? a", "*.bias", "&a", "!t", "%a", "[a]", "{a}", "a, b", "Linear(3)"]
    ),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-DEFAULT_LIMITS.integer, DEFAULT_LIMITS.integer)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


def exactly(value: object) -> str:
    """Return a form in which 1, 1.0 and True differ, and so does the order of keys."""
    return json.dumps(value)


@settings(deadline=None, max_examples=400)
@given(values)
def test_text_reads_as_the_value_it_was_written_from(value: object) -> None:
    for name, text in (("a.yaml", to_yaml(value)), ("a.json", to_json(value))):
        assert exactly(plain(read_text(text, name, DEFAULT_LIMITS))) == exactly(value)
        assert text.endswith("\n")


@settings(deadline=None)
@given(values)
def test_writing_again_changes_nothing(value: object) -> None:
    text = to_yaml(value)
    assert to_yaml(plain(read_text(text, "a.yaml", DEFAULT_LIMITS))) == text


def test_keys_longer_than_yaml_allows_on_a_line() -> None:
    value = {"k" * 2000: {"a": [1]}, "é" * 1100: "x", "k" * 1000: 1}
    assert plain(read_text(to_yaml(value), "a.yaml", DEFAULT_LIMITS)) == value


def test_yaml_is_as_a_person_would_write_it() -> None:
    value = {
        "spec": 1,
        "inputs": {"x": "float32[batch, 3]"},
        "blocks": {"MLP(dim)": [{"up": "Linear(4 * dim)"}, "GELU(approximate='tanh')", ["ReLU", []], {}]},
        "model": {"layers": {"a": "Linear(3)"}, "forward": "y = a(x)\n\nif y:\n    return y\n"},
        "texts": ["no", "010", "*.bias", "a: b", "", "two\nlines", "end\n\n", " led\n"],
        "numbers": [1.0, 1e-7, None, True],
    }
    assert to_yaml(value) == (
        "spec: 1\n"
        "inputs:\n"
        "  x: float32[batch, 3]\n"
        "blocks:\n"
        "  MLP(dim):\n"
        "    - up: Linear(4 * dim)\n"
        "    - GELU(approximate='tanh')\n"
        "    - - ReLU\n"
        "      - []\n"
        "    - {}\n"
        "model:\n"
        "  layers:\n"
        "    a: Linear(3)\n"
        "  forward: |\n"
        "    y = a(x)\n"
        "\n"
        "    if y:\n"
        "        return y\n"
        "texts:\n"
        "  - no\n"
        '  - "010"\n'
        '  - "*.bias"\n'
        '  - "a: b"\n'
        '  - ""\n'
        "  - |-\n"
        "    two\n"
        "    lines\n"
        "  - |+\n"
        "    end\n"
        "\n"
        '  - " led\\n"\n'
        "numbers:\n"
        "  - 1.0\n"
        "  - 1e-07\n"
        "  - null\n"
        "  - true\n"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_is_not_finite_cannot_be_written(value: object) -> None:
    with pytest.raises(ValueError, match=r"NaN|Out of range"):
        to_yaml(value)
    with pytest.raises(ValueError, match=r"NaN|Out of range"):
        to_json(value)


def test_what_is_not_plain_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="a key must be a str, not int"):
        to_yaml({1: 2})
    with pytest.raises(TypeError, match="set"):
        to_yaml({"a": {1}})
