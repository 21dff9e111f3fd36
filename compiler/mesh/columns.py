"""How the columns of a layer are taken apart: by operations, by indices, and by the patterns of fused weights."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from compiler.mesh.plan import LayerSplit

CUTS = frozenset("chunk split tensor_split unbind unflatten view reshape narrow select".split())
"""Operations that take the last dimension apart."""

Axis = tuple[str, int]
"""The name of the axis that layers are split over, and its ranks."""


@dataclass(frozen=True)
class Part:
    """A value of which each rank has a part. `of` is the layer whose output it is, just as it came."""

    since: str
    """The layer that made it."""
    of: str | None = None


Value = Part | None
"""None for what all ranks have whole."""


def cuts_last(name: str, arguments: Sequence[object], keywords: Mapping[str, object]) -> bool:
    """Return whether an operation takes the last dimension into parts of its own number."""
    if name in ("view", "reshape"):
        return False  # the sizes are held against the numbers of one rank when it runs
    if name == "unflatten":
        sizes = keywords.get("sizes", arguments[2] if len(arguments) > 2 else ())
        return isinstance(sizes, list | tuple) and bool(sizes) and type(sizes[0]) is int and sizes[0] > 0
    default = arguments[2] if name not in ("unbind", "select", "narrow") and len(arguments) > 2 else 0
    first = arguments[1] if name in ("unbind", "select", "narrow") and len(arguments) > 1 else default
    dim = keywords.get("dim", first)
    return dim != 0


def ranks_that_divide(count: int, ranks: int) -> int:
    """Return the most ranks, up to some, that divide a number."""
    return max(each for each in range(1, min(count, ranks) + 1) if count % each == 0)


def part_sizes(names: Sequence[str], given: Mapping[str, object], columns: int) -> list[int] | None:
    """Return the size of each part of the columns, None where they do not come to their number."""
    sizes = {name: given[name] for name in names if isinstance(given.get(name), int)}
    known = prod(int(size) for size in sizes.values())  # type: ignore[call-overload]
    open_names = [name for name in names if name not in sizes]
    if len(open_names) == 1 and known and columns % known == 0:
        sizes[open_names[0]] = columns // known
    found = [int(sizes.get(name, 0)) for name in names]  # type: ignore[call-overload]
    return found if len(open_names) < 2 and prod(found) == columns else None


def part_at(names: Sequence[str], sizes: Sequence[int] | None, split: LayerSplit) -> int | None:
    """Return which of the parts of a pattern is the one that a fused weight is split by, None if none is."""
    fused = split.fused
    if sizes is None or fused is None:
        return None
    for at in range(len(names)):
        if (prod(sizes[:at]), sizes[at], prod(sizes[at + 1 :])) == (fused.before, fused.parts, fused.after):
            return at
    return None


class Literal(int):
    """A number that a program writes out."""


def takes_columns(index: ast.expr) -> bool:
    """Return whether an index takes some of the last dimension: it has something behind an ellipsis."""
    items = index.elts if isinstance(index, ast.Tuple) else []
    has_ellipsis = any(isinstance(each, ast.Constant) and each.value is ... for each in items)
    last = items[-1] if items else None
    return has_ellipsis and not (isinstance(last, ast.Constant) and last.value is ...)
