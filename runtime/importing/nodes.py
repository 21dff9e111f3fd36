"""What stands in a layer position of the spec that is made."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, Union

from compiler.catalogue.layers import REQUIRED


@dataclass(frozen=True)
class Word:
    """A name in the place of a value: an argument of the block."""

    name: str


class Hole(enum.Enum):
    """What an instance has at a place that only others have."""

    HOLE = "hole"


HOLE = Hole.HOLE

Node: TypeAlias = Union["LayerCall", "Items", "Repeat", "If", Word]
ArgumentValue: TypeAlias = Union[
    bool, int, float, str, tuple["ArgumentValue", ...], "LayerCall", Word, Hole, None
]
Site: TypeAlias = Callable[[tuple[str, ...], tuple[ArgumentValue, ...]], ArgumentValue]
"""What stands at one place of several instances: where it is, and what each has there -> what the block has."""


@dataclass(frozen=True)
class Argument:
    """An argument of a layer or block. `first` says that it is written without its name."""

    name: str
    value: ArgumentValue
    default: object = REQUIRED
    first: bool = False


@dataclass(frozen=True)
class LayerCall:
    """A layer of the catalogue or a block, with all of its arguments."""

    name: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class Items:
    """A sequence or list; unnamed items bear their positions."""

    items: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Repeat:
    """Copies of a node in a row."""

    count: ArgumentValue
    of: Node


@dataclass(frozen=True)
class If:
    """A node that is there under a condition, and the identity where that does not hold."""

    condition: ArgumentValue
    then: Node


def key_of(value: object) -> object:
    """Return what tells values apart that Python takes for equal: `True` and `1`, `1` and `1.0`."""
    if isinstance(value, tuple):
        return tuple(map(key_of, value))
    return (type(value).__name__, repr(value))


def shape_of(node: Node) -> object:
    """Return what nodes have in common that one node with arguments can stand for."""
    if isinstance(node, Items):
        return ("items", *((name, shape_of(each)) for name, each in node.items))
    return ("copies", shape_of(node.of)) if isinstance(node, Repeat) else "one"


def are_alike(first: Node, second: Node) -> bool:
    """Return whether one node can stand for both, with other numbers of copies if need be."""
    if shape_of(first) == shape_of(second):
        return True
    if isinstance(first, LayerCall) or isinstance(second, LayerCall):
        return False
    runs, others = runs_of(first), runs_of(second)
    if runs is None or others is None:
        return False
    more = [each for _, each in (runs if len(runs) > len(others) else others)[min(len(runs), len(others)) :]]
    same = all(
        shape_of(one) == shape_of(other) and _named_alike(one, other)
        for (_, one), (_, other) in zip(runs, others, strict=False)
    )
    return same and all(isinstance(each, LayerCall) for each in more)


def _named_alike(first: Node, second: Node) -> bool:
    if isinstance(first, LayerCall) and isinstance(second, LayerCall):
        return first.name == second.name
    return True


def runs_of(node: Node) -> list[tuple[int, Node]] | None:
    """Return the items of a list as runs of equal ones, if they bear no names."""
    whole = compressed(node)
    items = whole.items if isinstance(whole, Items) else (("", whole),)
    if any(name for name, _ in items):
        return None
    return [(each.count, each.of) if isinstance(each, Repeat) else (1, each) for _, each in items]  # type: ignore[misc]


def some(site: Site, present: Sequence[bool]) -> Site:
    """Return a site for what only some instances have."""

    def inside(path: tuple[str, ...], values: tuple[ArgumentValue, ...]) -> ArgumentValue:
        rest = iter(values)
        return site(path, tuple(next(rest) if each else HOLE for each in present))

    return site if all(present) else inside


def unified_some(nodes: Sequence[Node | None], site: Site, path: tuple[str, ...]) -> Node:
    """Return the node that these are, under a condition where some instances have none."""
    present = tuple(each is not None for each in nodes)
    node = unified([each for each in nodes if each is not None], some(site, present), path)
    if all(present):
        return node
    return If(site(("_".join(("with", *path)),), present), node)


def unified(nodes: Sequence[Node], site: Site, path: tuple[str, ...]) -> Node:
    """Return the node that all of these are, with what `site` says where they differ."""
    first = nodes[0]
    if len({shape_of(each) for each in nodes}) > 1:
        return _unified_runs([runs_of(each) or [] for each in nodes], site, path)
    if all(isinstance(each, Items) for each in nodes):
        return Items(tuple(_unified_items([each for each in nodes if isinstance(each, Items)], site, path)))
    repeats = [each for each in nodes if isinstance(each, Repeat)]
    if len(repeats) == len(nodes):
        count = site((*path, "depth"), tuple(each.count for each in repeats))
        return Repeat(count, unified([each.of for each in repeats], site, path))
    calls = [each for each in nodes if isinstance(each, LayerCall)]
    if len(calls) == len(nodes) and len({_head(each) for each in calls}) == 1:
        return LayerCall(calls[0].name, tuple(_unified_arguments(calls, site, path)))
    if all(key_of(each) == key_of(first) for each in nodes):
        return first
    return site(path, tuple(nodes))  # type: ignore[return-value, arg-type]


def _unified_runs(rows: Sequence[list[tuple[int, Node]]], site: Site, path: tuple[str, ...]) -> Node:
    """Return a list of runs, each as long as an argument says."""
    made: list[tuple[str, Node]] = []
    for place in range(max(map(len, rows))):
        present = [place < len(each) for each in rows]
        counts = tuple(each[place][0] if place < len(each) else 0 for each in rows)
        nodes = [each[place][1] for each in rows if place < len(each)]
        count = site((*path, "depth" if max(map(len, rows)) == 1 else "rest"), counts)
        node = unified(nodes, some(site, present), (*path, str(place)))
        made.append(("", node if count == 1 and not isinstance(count, bool) else Repeat(count, node)))
    return made[0][1] if len(made) == 1 and isinstance(made[0][1], Repeat) else Items(tuple(made))


def _head(call: LayerCall) -> object:
    return (call.name, tuple(each.name for each in call.arguments))


def _unified_items(nodes: Sequence[Items], site: Site, path: tuple[str, ...]) -> Iterable[tuple[str, Node]]:
    for rows in zip(*(each.items for each in nodes), strict=True):
        name = rows[0][0]
        node = unified([each for _, each in rows], site, (*path, name))
        yield name, as_item(rows[0][1], node)


def _unified_arguments(calls: Sequence[LayerCall], site: Site, path: tuple[str, ...]) -> Iterable[Argument]:
    for rows in zip(*(each.arguments for each in calls), strict=True):
        values = [each.value for each in rows]
        inner = [each for each in values if isinstance(each, LayerCall)]
        if len(inner) == len(values):
            node = unified(inner, site, (*path, rows[0].name))
            yield replace(rows[0], value=node)
        else:
            yield replace(rows[0], value=site((*path, rows[0].name), tuple(values)))


def as_item(node: Node, made: Node) -> Node:
    """Return what was made of an item: copies of a list stay a list of their own, and are none of that around it."""
    return Items((("", made),)) if isinstance(node, Items) and isinstance(made, Repeat) else made


def compressed(node: Node) -> Node:
    """Return a node in which equal unnamed items in a row are a repeat."""
    if isinstance(node, If):
        return If(node.condition, compressed(node.then))
    if isinstance(node, Repeat):
        return Repeat(node.count, compressed(node.of))
    if not isinstance(node, Items):
        return node
    rows: list[tuple[str, Node]] = []
    counts: list[int] = []
    unnamed = [name in ("", str(number)) for number, (name, _) in enumerate(node.items)]
    for number, (name, each) in enumerate(node.items):
        each = as_item(each, compressed(each)) if unnamed[number] else compressed(each)
        both = number > 0 and unnamed[number - 1] and unnamed[number]
        if both and rows[-1][1] == each and isinstance(each, LayerCall):
            counts[-1] += 1
        else:
            rows.append((name, each))
            counts.append(1)
    # Named by position again: a repeat is spliced in, and counted on.
    made, position = [], 0
    for (name, each), count in zip(rows, counts, strict=True):
        is_plain = name in ("", str(position))
        made.append((("" if is_plain else name), each if count == 1 else Repeat(count, each)))
        position += count
    if len(made) == 1 and isinstance(made[0][1], Repeat) and not made[0][0]:
        return made[0][1]
    return Items(tuple(made))
