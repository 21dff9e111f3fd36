"""What differs between two architectures is said shortly, and all of it."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import comparison
from runtime.comparison import collapsed, spec_lines, tensor_lines
from runtime.manifest import Form, Manifest


def manifest(*names: str, shape: tuple[int, ...] = (2,), **owners: str) -> Manifest:
    forms = {name: Form("parameter", shape, torch.float32) for name in names}
    return Manifest(forms, {name: owners.get(name, name) for name in names})


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ([], []),
        (["a"], ["a"]),
        (["h.0.w", "h.1.w", "h.2.w"], ["h.{0…2}.w"]),
        (["h.0.w", "h.2.w", "h.3.w", "h.9.w"], ["h.{0,2…3,9}.w"]),
        (["h.0.w", "h.0.b", "h.1.w", "h.1.b"], ["h.{0…1}.w", "h.{0…1}.b"]),
        (["a.0.0.w", "a.0.1.w", "a.1.0.w", "a.1.1.w"], ["a.{0…1}.{0…1}.w"]),
        (["a.0.0.w", "a.0.1.w", "a.1.0.w"], ["a.0.{0…1}.w", "a.1.0.w"]),
        (["h.00.w", "h.1.w", "h.٣.w"], ["h.00.w", "h.1.w", "h.٣.w"]),
        (["10", "9", "11"], ["{9…11}"]),
    ],
)
def test_names_that_differ_in_a_number_are_one_text(names: list[str], texts: list[str]) -> None:
    assert list(collapsed(names)) == texts


def test_long_names_cost_what_they_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may have a name of a megabyte: neither time nor memory grows with its square."""
    looks = itertools.count()
    monkeypatch.setattr(comparison, "_is_number", lambda text: next(looks) < 0)
    collapsed([f"{'0.' * 1000}{at}" for at in range(10)])
    assert next(looks) <= 10 * (comparison.DEEP + 1)
    deep = "a." * 4000 + "b"
    tracemalloc.start()
    lines = tensor_lines(manifest("b"), manifest(deep, f"{deep}c"), "here", "there")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lines == ["only here: b", "only there: a (2 tensors)"]
    assert peak < 4_000_000


def test_a_name_is_no_number_however_many_digits_it_has() -> None:
    name = "1" * 5000
    assert list(collapsed([f"h.{name}"])) == [f"h.{name}"]


parts = st.sampled_from(["h", "w", *map(str, range(12)), "00"])


@settings(max_examples=100)
@given(st.lists(st.lists(parts, min_size=1, max_size=4).map(".".join), unique=True))
def test_every_name_is_in_one_text(names: list[str]) -> None:
    assert sorted(name for members in collapsed(names).values() for name in members) == sorted(names)


def test_what_is_missing_is_said_by_its_outermost_module() -> None:
    small = manifest("h.0.attn.w", "h.0.mlp.w", "tail.w")
    large = manifest(*(f"h.{at}.{name}.w" for at in range(4) for name in ("attn", "mlp")), "head.w", "tail.b")
    assert tensor_lines(small, large, "here", "there") == [
        "only here: tail.w",
        "only there: h.{1…3} (6 tensors)",
        "only there: head",
        "only there: tail.b",
    ]


def test_what_is_changed_is_said_once() -> None:
    names = ("h.0.w", "h.1.w", "x")
    assert tensor_lines(manifest(*names), manifest(*names, shape=(3,)), "here", "there") == [
        "h.{0…1}.w: float32[2] here, float32[3] there",
        "x: float32[2] here, float32[3] there",
    ]
    assert tensor_lines(manifest(*names), manifest(*names, x="h.0.w"), "here", "there") == [
        "h.0.w: a tensor of its own here, one with `x` there",
        "x: a tensor of its own here, one with `h.0.w` there",
    ]
    assert tensor_lines(manifest(*names), manifest(*names), "here", "there") == []


def canonical(spec: dict[str, Any], **imports: Any) -> dict[str, Any]:
    return {"spec": spec, "imports": imports}


@pytest.mark.parametrize(
    ("one", "other", "lines"),
    [
        (canonical({"vars": {"d": 12}}), canonical({"vars": {"d": 6}}), ["vars.d: 12 → 6"]),
        (canonical({"vars": {"d": 1}}), canonical({}), ['vars: {"d": 1} → nothing']),
        (canonical({"model": ["A", "B"]}), canonical({"model": ["A", "C"]}), ['model.1: "B" → "C"']),
        (canonical({"model": ["A"]}), canonical({"model": ["A", "A"]}), ["model: 1 item → 2 items"]),
        (canonical({"model": ["A"]}), canonical({"model": "A"}), ['model: ["A"] → "A"']),
        (canonical({"model": True}), canonical({"model": 1}), ["model: true → 1"]),
        (canonical({}, a={"x": 1}), canonical({}, a={"x": 2}, b={}), ["a.x: 1 → 2", "b: nothing → {}"]),
        (canonical({"name": "a", "train": {"epochs": 1}, "init": []}), canonical({"name": "b"}), []),
        (canonical({"m": "x" * 99}), canonical({"m": 1}), [f'm: "{"x" * 59}... → 1']),
    ],
)
def test_specs_are_compared_by_paths(one: Any, other: Any, lines: list[str]) -> None:
    assert spec_lines(one, other) == lines


def test_specs_that_have_nothing_in_common_are_not_listed_in_full() -> None:
    one = canonical({"vars": {f"v{at}": at for at in range(50)}})
    lines = spec_lines(one, canonical({"vars": {}}))
    assert len(lines) == 21
    assert lines[-1] == "and 30 more differences between the specs"
