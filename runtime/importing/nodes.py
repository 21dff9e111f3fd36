"""What stands in a layer position of the spec that is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, Union

from compiler.catalogue.layers import REQUIRED


@dataclass(frozen=True)
class Word:
    """A name in the place of a value: an argument of the block."""

    name: str


Node: TypeAlias = Union["LayerCall", "Items", "Repeat", Word]
ArgumentValue: TypeAlias = Union[bool, int, float, str, tuple["ArgumentValue", ...], "LayerCall", Word, None]
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

    count: int
    of: Node


def key_of(value: object) -> object:
    """Return what tells values apart that Python takes for equal: `True` and `1`, `1` and `1.0`."""
    if isinstance(value, tuple):
        return tuple(map(key_of, value))
    return (type(value).__name__, repr(value))


def shape_of(node: Node) -> object:
    """Return what nodes have in common that one node with arguments can stand for."""
    if isinstance(node, Items):
        return ("items", *((name, shape_of(each)) for name, each in node.items))
    return "one"


def unified(nodes: Sequence[Node], site: Site, path: tuple[str, ...]) -> Node:
    """Return the node that all of these are, with what `site` says where they differ."""
    first = nodes[0]
    if all(isinstance(each, Items) for each in nodes):
        return Items(tuple(_unified_items([each for each in nodes if isinstance(each, Items)], site, path)))
    calls = [each for each in nodes if isinstance(each, LayerCall)]
    if len(calls) == len(nodes) and len({_head(each) for each in calls}) == 1:
        return LayerCall(calls[0].name, tuple(_unified_arguments(calls, site, path)))
    if all(key_of(each) == key_of(first) for each in nodes):
        return first
    return site(path, tuple(nodes))  # type: ignore[return-value, arg-type]


def _head(call: LayerCall) -> object:
    return (call.name, tuple(each.name for each in call.arguments))


def _unified_items(nodes: Sequence[Items], site: Site, path: tuple[str, ...]) -> Iterable[tuple[str, Node]]:
    for rows in zip(*(each.items for each in nodes), strict=True):
        name = rows[0][0]
        yield name, unified([node for _, node in rows], site, (*path, name))


def _unified_arguments(calls: Sequence[LayerCall], site: Site, path: tuple[str, ...]) -> Iterable[Argument]:
    for rows in zip(*(each.arguments for each in calls), strict=True):
        values = [each.value for each in rows]
        inner = [each for each in values if isinstance(each, LayerCall)]
        if len(inner) == len(values):
            node = unified(inner, site, (*path, rows[0].name))
            yield replace(rows[0], value=node)
        else:
            yield replace(rows[0], value=site((*path, rows[0].name), tuple(values)))


def compressed(node: Node) -> Node:
    """Return a node in which equal unnamed items in a row are a repeat."""
    if not isinstance(node, Items):
        return node
    rows: list[tuple[str, Node]] = []
    counts: list[int] = []
    for number, (name, each) in enumerate(node.items):
        each = compressed(each)
        if name == str(number) and rows and rows[-1][1] == each and isinstance(each, LayerCall):
            counts[-1] += 1
        else:
            rows.append((name, each))
            counts.append(1)
    # Named by position again: a repeat is spliced in, and counted on.
    made, position = [], 0
    for (name, each), count in zip(rows, counts, strict=True):
        is_plain = name == str(position)
        made.append((("" if is_plain else name), each if count == 1 else Repeat(count, each)))
        position += count
    if len(made) == 1 and isinstance(made[0][1], Repeat) and not made[0][0]:
        return made[0][1]
    return Items(tuple(made))
