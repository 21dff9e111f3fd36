"""The modules of a model as a tree of values: what they are, their arguments, their tensors, and what is inside."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal

from compiler.artifact import Artifact
from compiler.infer.states import BlockState, Chain, Leaf, Operation, State, joined, type_name, used_children
from compiler.infer.values import show
from compiler.program import Definition, Repeat
from compiler.rules.plan import PlanRow

Kind = Literal["layer", "operation", "sequence", "block"]


@dataclass(frozen=True, eq=False)
class Module:
    """A module of a model, or an operation in a layer's place. `path` is its name in the state dict."""

    path: str
    name: str
    type: str
    kind: Kind
    arguments: Mapping[str, str]
    """Those that the spec writes."""
    inferred: Mapping[str, str]
    rows: Mapping[str, PlanRow]
    """Its own tensors by their names in it, and not those of what is inside."""
    children: tuple[Module, ...]
    definition: Definition | None
    is_repeat: bool

    @property
    def is_leaf(self) -> bool:
        return self.kind in ("layer", "operation")

    @property
    def is_numbered(self) -> bool:
        """Whether its place in a row is its name."""
        return self.name.isdigit()

    @cached_property
    def forms(self) -> tuple[tuple[str, tuple[int, ...], str], ...]:
        """The names, shapes and dtypes of its own tensors."""
        return tuple((name, row.shape, str(row.dtype)) for name, row in self.rows.items())

    @cached_property
    def content(self) -> bytes:
        """What two modules have in common that are the same but for their names."""
        inside = tuple((child.name, child.content) for child in self.children)
        own = (self.type, self.kind, *self.arguments.items(), *self.inferred.items())
        return _digest((own, self.forms, inside))

    @cached_property
    def form(self) -> bytes:
        """What a layer has in common with one of the same type and shapes."""
        return _digest((self.type, self.forms))

    @cached_property
    def parameters(self) -> int:
        """How many parameters are in it and below. Those with several names count under each."""
        own = sum(row.elements for row in self.rows.values() if row.kind == "parameter")
        return own + sum(child.parameters for child in self.children)

    @cached_property
    def leaf_forms(self) -> frozenset[Hashable]:
        """The forms of all layers in it."""
        if self.is_leaf:
            return frozenset([self.form])
        return frozenset().union(*(child.leaf_forms for child in self.children))

    @cached_property
    def leaf_types(self) -> frozenset[Hashable]:
        """The types and names of all layers in it."""
        if self.is_leaf:
            return frozenset([(self.type, self.name)])
        return frozenset().union(*(child.leaf_types for child in self.children))

    def walk(self) -> Iterator[Module]:
        """Yield the module and all that is inside."""
        yield self
        for child in self.children:
            yield from child.walk()


def _digest(value: object) -> bytes:
    """Return what is the same for equal values, so that nested ones are compared at once."""
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def tree_of(artifact: Artifact) -> Module:
    """Return the modules of a compiled spec."""
    root = artifact.inferred.root
    paths = {path for path, _ in _paths("", root)}
    owned: dict[str, dict[str, PlanRow]] = {}
    for row in artifact.plan.rows:
        for name in row.names:
            path = _owner(name, paths)
            owned.setdefault(path, {})[name.removeprefix(f"{path}." if path else "")] = row
    return _module("", root, owned)


def _paths(path: str, state: State) -> Iterator[tuple[str, State]]:
    yield path, state
    for name, child in _inside(state):
        yield from _paths(joined(path, name), child)


def _inside(state: State) -> Iterator[tuple[str, State]]:
    match state:
        case Chain():
            yield from zip(state.names, state.states, strict=True)
        case BlockState():
            yield from used_children(state)


def _owner(name: str, paths: set[str]) -> str:
    """Return the path of the innermost module that a tensor is in."""
    path = name.rpartition(".")[0]
    while path and path not in paths:
        path = path.rpartition(".")[0]
    return path


def _module(
    path: str, state: State, owned: Mapping[str, Mapping[str, PlanRow]], base: bool = False
) -> Module:
    """Return a module. What a block extends is where the block is, and its tensors are the block's."""
    children = tuple(
        _module(joined(path, name), child, owned, base=not name) for name, child in _inside(state)
    )
    written, inferred = _arguments(state)
    return Module(
        path,
        "" if base else path.rpartition(".")[2],
        state.name if isinstance(state, Operation) else type_name(state) or "Identity",
        _kind(state),
        written,
        inferred,
        {} if base else owned.get(path, {}),
        children,
        state.definition if isinstance(state, BlockState) else None,
        isinstance(state, Chain) and isinstance(state.node, Repeat),
    )


def _kind(state: State) -> Kind:
    match state:
        case Chain():
            return "sequence"
        case BlockState():
            return "block"
        case Leaf():
            return "layer"
    return "operation"


def _arguments(state: State) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return what the spec writes of a module, and what is inferred."""
    match state:
        case Leaf():
            return _shown(state.values), _shown(state.inferred)
        case Operation():
            return _shown({**dict(map(_numbered, enumerate(state.positional))), **state.keywords}), {}
        case BlockState():
            return _shown(state.arguments), {}
    return {}, {}


def _numbered(entry: tuple[int, object]) -> tuple[str, object]:
    return str(entry[0]), entry[1]


def _shown(values: Mapping[str, object]) -> Mapping[str, str]:
    return {name: show(value) for name, value in values.items()}
