"""Whether two layers are the same layer: with equal tensors, they would do the same.

A layer that is shared stands in for the others, so that those must differ from it in nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from compiler.catalogue.layer_types import REQUIRED
from compiler.infer.states import BlockState, Chain, Identity, Leaf, Operation, State, joined, used_children
from compiler.infer.values import same_form, show
from compiler.program import ModuleBody, ParallelBody, ResidualBody
from compiler.rules.table import ModuleRow

MISSING = "nothing"


@dataclass(frozen=True)
class Difference:
    """What two layers are at a path inside them, written as a spec would write it."""

    path: str
    one: str
    other: str


def difference(one: ModuleRow, other: ModuleRow) -> Difference | None:
    """Return the first difference of two layers, or None if they are alike."""
    if one.state is not None and other.state is not None:
        return next(_states(one.state, other.state, ""), None)
    if type(one.module) is type(other.module) and repr(one.module) == repr(other.module):
        return None
    return Difference("", repr(one.module), repr(other.module))


def _states(one: State, other: State, path: str) -> Iterator[Difference]:
    """Yield the differences of two layers, in their order."""
    if one is other:
        return
    match one, other:
        case Leaf(), Leaf() if one.layer == other.layer:
            yield from _values(path, one.layer.name, _arguments(one), _arguments(other))
        case Operation(), Operation() if one.name == other.name:
            yield from _values(path, one.name, _given(one), _given(other))
        case Identity(), Identity():
            pass
        case Chain(), Chain():
            yield from _children(zip(one.names, one.states, strict=True), _named(other), path)
        case BlockState(), BlockState() if _same_body(one, other):
            yield from _values(path, one.definition.name, one.arguments, other.arguments)
            yield from _children(used_children(one), used_children(other), path)
        case _:
            yield Difference(path, _title(one), _title(other))


def _named(chain: Chain) -> Iterator[tuple[str, State]]:
    yield from zip(chain.names, chain.states, strict=True)


def _children(
    one: Iterable[tuple[str, State]], other: Iterable[tuple[str, State]], path: str
) -> Iterator[Difference]:
    for first, second in zip_longest(one, other):
        name = (first or second)[0]
        inner = joined(path, name)
        if first is None or second is None or first[0] != second[0]:
            yield Difference(inner, *(_title(each[1]) if each else MISSING for each in (first, second)))
            return
        yield from _states(first[1], second[1], inner)


def _values(
    path: str, title: str, one: Mapping[str, object], other: Mapping[str, object]
) -> Iterator[Difference]:
    """Yield the difference of the arguments of two calls, if there is one."""
    names = [name for name in {**one, **other} if not _same(one.get(name), other.get(name))]
    if names:
        yield Difference(path, *(_call(title, names, values) for values in (one, other)))


def _call(title: str, names: Iterable[str], values: Mapping[str, object]) -> str:
    written = [(name, show(values[name])) for name in names if name in values]
    return f"{title}({', '.join(text if name.isdigit() else f'{name}={text}' for name, text in written)})"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Leaf) and isinstance(other, Leaf):
        return next(_states(one, other, ""), None) is None
    return same_form(one, other)


def _arguments(leaf: Leaf) -> Mapping[str, object]:
    """Return all arguments of a layer: those that the spec leaves out have torch's default."""
    defaults = {each.name: each.default for each in leaf.layer.arguments if each.default is not REQUIRED}
    return {**defaults, **leaf.values, **leaf.inferred}


def _given(operation: Operation) -> Mapping[str, object]:
    return {**{str(at): value for at, value in enumerate(operation.positional)}, **operation.keywords}


def _same_body(one: BlockState, other: BlockState) -> bool:
    """Return whether two blocks have one definition, or equal definitions that are written in place."""
    a, b = one.definition.body, other.definition.body
    if one.definition is other.definition:
        return True
    if isinstance(a, ModuleBody) or type(a) is not type(b):
        return False
    if [name for name, _ in one.order] != [name for name, _ in other.order]:
        return False
    if isinstance(a, ResidualBody | ParallelBody) and isinstance(b, ResidualBody | ParallelBody):
        return _text(a.combine) == _text(b.combine)
    return True


def _text(combine: Any) -> str:
    """Return the text of the operation that combines branches."""
    return "" if combine is None else " ".join([combine.target, *(str(a.value) for a in combine.arguments)])


def _title(state: State) -> str:
    match state:
        case Leaf():
            return state.layer.name
        case Operation():
            return state.name
        case BlockState():
            return state.definition.name
        case Chain():
            return f"a sequence of {len(state.states)}"
    return "the identity"
