"""Names rewritten by selectors."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spec_schema.diagnostics import SpecError
from spec_schema.renaming import parse_pattern, parse_template
from spec_schema.selectors import parse_selector


def rewritten(pattern: str, template: str, name: str) -> str | None:
    read = parse_pattern(pattern, None)
    match = read.match(name)
    return parse_template(template, read, None).fill(match) if match else None


@pytest.mark.parametrize(
    ("pattern", "template", "name", "expected"),
    [
        ("attn.c_attn", "attn.qkv", "h.0.attn.c_attn.weight", "h.0.attn.qkv.weight"),
        ("ln_*", "ln*", "h.0.ln_1.bias", "h.0.ln1.bias"),
        ("ln_[1-2]", "ln*", "h.0.ln_2.bias", "h.0.ln2.bias"),
        ("h.[9-10].attn", "h.*.mix", "h.10.attn.w", "h.10.mix.w"),
        ("h.[9-10].attn", "h.*.mix", "h.0.attn.w", None),
        ("ln_?", "norm*", "ln_f.bias", "normf.bias"),
        ("/layer.*.out", "h.*.proj", "layer.3.out.weight", "h.3.proj.weight"),
        ("/layer.*.out", "h.*.proj", "bert.layer.3.out.weight", None),
        ("layer.*.*.w", "l.*.*", "layer.3.q.w", "l.3.q"),
        ("self.{query,key,value}", "{q,k,v}", "a.self.key.bias", "a.k.bias"),
        ("{a,b}", "{b,a}", "x.a.w", "x.b.w"),
        ("{a,b}.*", "*.{c,d}", "b.7", "7.d"),
        ("/", "encoder", "layer.0.w", "encoder.layer.0.w"),
        ("/bert", "/", "bert.layer.0.w", "layer.0.w"),
        ("/bert.**.dense", "**.fc", "bert.layer.0.dense.w", "layer.0.fc.w"),
        ("**.w", "x.**", "a.b.w", "x.a.b"),
        ("a.**", "**", "a.b.c", "b.c"),
        ("a.**", "z.**", "a", "z"),
        ("a", "aa", "a.a", "aa.a"),
        ("h.*", "*", "h.12.w", "12.w"),
        ("c_attn", "qkv", "h.c_attn_norm.w", None),
        ("w", "v", "", None),
    ],
)
def test_a_name_is_rewritten(pattern: str, template: str, name: str, expected: str | None) -> None:
    assert rewritten(pattern, template, name) == expected


@pytest.mark.parametrize(
    ("pattern", "template"),
    [
        ("a", "*"),
        ("*", "*.*"),
        ("**", "*"),
        ("*", "**"),
        ("{a,b}", "*"),
        ("{a,b}", "{c,d,e}"),
        ("*", "?"),
        ("[ab]", "[ab]"),
        ("a", "/b"),
        ("a", "b..c"),
        ("a b", "c"),
        ("", "c"),
        ("a", ""),
    ],
)
def test_what_stands_for_nothing_is_refused(pattern: str, template: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_template(template, parse_pattern(pattern, None), None)
    assert caught.value.diagnostics[0].code in ("checkpoint-argument", "bad-selector")


WORDS = st.sampled_from(["a", "b", "ab", "0", "12", "a_b"])
COMPONENTS = st.one_of(WORDS, st.sampled_from(["*", "**", "a*", "?", "{a,b}", "[0-12]", "*b"]))
PATTERNS = st.builds(
    lambda anchor, parts: anchor + ".".join(parts),
    st.sampled_from(["", "/"]),
    st.lists(COMPONENTS, min_size=1, max_size=4),
)
NAMES = st.lists(WORDS, min_size=1, max_size=6).map(".".join)


@given(PATTERNS, NAMES)
def test_a_pattern_matches_what_the_selector_matches(pattern: str, name: str) -> None:
    steps = [(part, "") for part in name.split(".")]
    assert (parse_pattern(pattern, None).match(name) is not None) == parse_selector(pattern, None).matches(
        steps
    )


@given(PATTERNS, NAMES)
def test_a_name_rewritten_to_its_own_pattern_is_itself(pattern: str, name: str) -> None:
    assume(not set(pattern) & set("?["))
    assert rewritten(pattern, pattern, name) in (None, name)


def test_many_wildcards_take_no_time() -> None:
    name = ".".join(["a"] * 200)
    assert parse_pattern(".".join(["**", "a"] * 20) + ".b", None).match(name) is None
