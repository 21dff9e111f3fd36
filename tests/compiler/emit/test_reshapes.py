"""`rearrange` written with torch's methods: for each pattern the values that einops makes."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st

from compiler.emit.passes.reshapes import write_reshapes

Draw = st.DrawFn
SIZES = {"a": 2, "b": 3, "c": 1, "d": 5, "e": 4}


def written(call: str) -> str:
    return ast.unparse(write_reshapes(ast.parse(call)))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            "q, k, v = rearrange(self.qkv(x), 'b t (three h d) -> three b h t d', three=3, h=self.heads)",
            "q, k, v = torch.unflatten(self.qkv(x), 2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)",
        ),
        ("rearrange(x, 'b h t d -> b t (h d)')", "x.transpose(1, 2).flatten(2)"),
        ("rearrange(x + y, 'b c h w -> b (h w) c')", "(x + y).permute(0, 2, 3, 1).flatten(1, 2)"),
        ("rearrange(x, 'b t -> b 1 1 t')", "x[:, None, None]"),
        ("rearrange(x, 'b t -> b t 1')", "x.unsqueeze(2)"),
        ("rearrange(x, 'b 1 t -> b t')", "x.squeeze(1)"),
        ("rearrange(x, '... (h d) -> ... h d', h=4)", "torch.unflatten(x, -1, (4, -1))"),
        ("rearrange(x, 'b ... c -> b c ...')", "x.movedim(-1, 1)"),
        ("rearrange(x, 'b ... -> b ...')", "x"),
        ("rearrange(x, 'b c h w -> (b c h w)')", "x.flatten(0)"),
        ("rearrange(rearrange(x, 'a b -> b a'), 'a b -> (a b)')", "x.transpose(0, 1).flatten(0)"),
    ],
)
def test_it_is_written_as_one_does_without_einops(call: str, expected: str) -> None:
    assert written(call) == expected


@pytest.mark.parametrize(
    "call",
    [
        "rearrange(x, 'b ... -> b (...)')",
        "rearrange(x, self.pattern)",
        "rearrange(x, 'b (h p) (w q) -> b h w (p q)', p=2, q=2)",
        "repeat(x, 'b -> b n', n=3)",
        "reduce(x, 'b c -> b', 'mean')",
    ],
)
def test_what_einops_says_better_is_left_to_it(call: str) -> None:
    assert written(call) == call


def side(groups: list[list[str]], ellipsis: int | None) -> str:
    """Return one side of a pattern: groups of several axes in parentheses, those of none as `1`."""
    texts = [group[0] if len(group) == 1 else f"({' '.join(group)})" if group else "1" for group in groups]
    return " ".join(texts if ellipsis is None else [*texts[:ellipsis], "...", *texts[ellipsis:]])


@st.composite
def groups(draw: Draw, axes: list[str], most: int) -> list[list[str]]:
    """Draw how axes, in any order, make dimensions: so many of several axes, and some of one element."""
    left: list[str] = draw(st.permutations(axes))
    found: list[list[str]] = []
    while left:
        count = draw(st.integers(1, min(3, len(left)))) if most else 1
        most -= count > 1
        found += [[]] * draw(st.integers(0, 1)) + [left[:count]]
        left = left[count:]
    return [*found, *[[]] * draw(st.integers(0, 2))]


@given(st.data())
def test_the_values_are_those_of_einops(data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.sampled_from(sorted(SIZES)), min_size=1, unique=True))
    before, after = data.draw(groups(axes, most=1)), data.draw(groups(axes, most=len(axes)))
    more = data.draw(st.sampled_from([None, (), (2,), (2, 3)]))
    places = [None if more is None else data.draw(st.integers(0, len(each))) for each in (before, after)]
    pattern = f"{side(before, places[0])} -> {side(after, places[1])}"
    known = {axis: SIZES[axis] for group in before for axis in group[data.draw(st.integers(0, 1)) :]}
    shape = [torch.Size([SIZES[axis] for axis in group]).numel() for group in before]
    x = torch.arange(torch.Size([*shape, *(more or ())]).numel()).reshape(with_more(shape, places[0], more))
    given_sizes = "".join(f", {axis}={size}" for axis, size in known.items())
    code = written(f"rearrange(x, {pattern!r}{given_sizes})")
    assert "rearrange" not in code
    made = eval(code, {"x": x, "torch": torch})  # noqa: S307 - written by the pass
    assert torch.equal(made, rearrange(x, pattern, **known))


def with_more(shape: list[int], at: int | None, more: Any) -> list[int]:
    """Return a shape with the dimensions that an ellipsis stands for."""
    return shape if at is None else [*shape[:at], *more, *shape[at:]]
