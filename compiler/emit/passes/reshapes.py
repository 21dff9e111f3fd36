"""Write `rearrange` with torch's own methods: `torch.unflatten(x, 2, (heads, -1)).transpose(1, 2)`.

A pattern becomes the steps that einops takes: dimensions are split into axes, moved, and merged, from the right to the
left, so that those to come keep their numbers. Those behind an ellipsis are counted from the end, so the other way
round. A pattern that merges the ellipsis itself is left to einops, and so is one that splits several dimensions, which
reads worse as steps.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from einops.parsing import ParsedExpression

from compiler.emit.syntax import call, number
from compiler.emit.trees import names_in

Group = Sequence[str]
"""The axes that one dimension is made of; of none where it has one element."""
ELLIPSIS = "…"
"""What einops reads `...` as."""


def write_reshapes(tree: ast.Module) -> ast.Module:
    """Return the tree with torch's methods for calls of `rearrange`."""
    return _Reshapes().visit(tree) if "rearrange" in names_in(tree) else tree


class _Reshapes(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name("rearrange"), [x, ast.Constant(str() as pattern)]):
                sizes = {each.arg: each.value for each in node.keywords if each.arg}
                return reshaped(x, pattern, sizes) or node
        return node


def reshaped(x: ast.expr, pattern: str, sizes: Mapping[str, ast.expr]) -> ast.expr | None:
    """Return a value rearranged, None where einops says it better."""
    left, right = (ParsedExpression(side) for side in pattern.split("->"))
    if right.has_ellipsis_parenthesized or sum(len(group) > 1 for group in left.composition) > 1:
        return None
    before, after = Side.of(left.composition), Side.of(right.composition)
    for dim, group in before.made_of_axes():
        x = _split(x, dim, group, sizes)
    x = _moved(x, before, after)
    for first, last in after.ranges():
        x = _method(x, "flatten", *((first,) if after.is_end(last) else (first, last)))
    return _with_ones(x, after)


@dataclass(frozen=True)
class Side:
    """The dimensions of one side of a pattern: those before an ellipsis, or all, and those behind it."""

    before: Sequence[Group]
    behind: Sequence[Group]
    has_ellipsis: bool

    @classmethod
    def of(cls, composition: Sequence[Group | str]) -> Side:
        if ELLIPSIS not in composition:
            return cls(composition, (), False)
        at = composition.index(ELLIPSIS)
        return cls(composition[:at], composition[at + 1 :], True)

    def made_of_axes(self) -> Iterator[tuple[int, Group]]:
        """Yield the dimensions that are not one axis each."""
        before, behind = _numbered(self.before, ()), _numbered((), self.behind)
        return ((dim, group) for dim, group in [*reversed(before), *behind] if len(group) != 1)

    def axes(self) -> dict[str, int]:
        """Return the dimension that each axis is, when all are split."""
        before, behind = ([axis for group in part for axis in group] for part in (self.before, self.behind))
        return {axis: dim for dim, axis in _numbered(before, behind)}

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last of the axes that become one dimension."""
        yield from reversed([*_ranges(self.before, 0)])
        yield from _ranges(self.behind, -sum(map(len, self.behind)))

    def is_end(self, axis: int) -> bool:
        """Return whether an axis is the last."""
        return axis == (-1 if self.has_ellipsis else sum(map(len, self.before)) - 1)


def _numbered(before: Sequence[Any], behind: Sequence[Any]) -> list[tuple[int, Any]]:
    """Return what stands before an ellipsis with its number from the start, what is behind with that from the end."""
    return [*enumerate(before), *enumerate(behind, -len(behind))]


def _ranges(groups: Sequence[Group], start: int) -> Iterator[tuple[int, int]]:
    starts = accumulate(map(len, groups), initial=start)
    return (
        (first, first + len(group) - 1)
        for first, group in zip(starts, groups, strict=False)
        if len(group) > 1
    )


def _split(x: ast.expr, dim: int, group: Group, sizes: Mapping[str, ast.expr]) -> ast.expr:
    """Return a value with one dimension as several axes, or without one of one element.

    The method `unflatten` has no types in torch; the function has.
    """
    if not group:
        return _method(x, "squeeze", dim)
    axes = [sizes.get(axis, number(-1)) for axis in group]
    return call("torch.unflatten", x, number(dim), ast.Tuple(axes, ast.Load()))


def _moved(x: ast.expr, before: Side, after: Side) -> ast.expr:
    """Return a value with its axes in another order."""
    dims = [(before.axes()[axis], dim) for axis, dim in after.axes().items()]
    moved = [(old, new) for old, new in dims if old != new]
    if not moved:
        return x
    here, there = zip(*moved, strict=True)
    if len(moved) == 2 and {*here} == {*there}:
        return _method(x, "transpose", *there)
    if not after.has_ellipsis:
        return _method(x, "permute", *(old for old, _ in dims))
    return _method(x, "movedim", _dims(here), _dims(there))


def _dims(dims: Sequence[int]) -> ast.expr:
    """Return one number, or a tuple of several."""
    numbers = [number(dim) for dim in dims]
    return numbers[0] if len(numbers) == 1 else ast.Tuple(numbers, ast.Load())


def _with_ones(x: ast.expr, side: Side) -> ast.expr:
    """Return a value with the dimensions of one element that a pattern adds."""
    added = [dim for dim, group in _numbered(side.before, side.behind) if not group]
    if len(added) < 2:
        return _method(x, "unsqueeze", *added) if added else x
    before, behind = [*map(_index, side.before)], [*map(_index, side.behind)]
    indices = [*before, ast.Constant(...), *behind] if behind else before[: added[-1] + 1]
    return ast.Subscript(x, ast.Tuple(indices, ast.Load()), ast.Load())


def _index(group: Group) -> ast.expr:
    return ast.Slice() if group else ast.Constant(None)


def _method(x: ast.expr, name: str, *arguments: Any) -> ast.expr:
    """Return the call of a method with numbers and expressions."""
    given = [each if isinstance(each, ast.expr) else number(each) for each in arguments]
    return call(ast.Attribute(x, name, ast.Load()), *given)
