"""What a run of a module was: scopes, calls, and the values that went between them.

A value has an identity and no content: two uses of one value are two references to one `Value`. Arguments and results
are plain Python structures (tuples, lists, dicts, slices) with values in the place of tensors and of numbers whose
origin is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from torch import nn

from runtime.importing.leaves import holds_a_layer, is_leaf

Structure: TypeAlias = Any
"""A nest of tuples, lists, dicts and slices, whose leaves are values and constants."""

Kind = Literal["input", "state", "attribute", "call"]


@dataclass(frozen=True)
class Position:
    """A place in the source of the model; columns count bytes from 0, as Python's own do."""

    file: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(eq=False)
class Value:
    """A tensor or a number of a run. `names` are those that the author's program gave it, in their order."""

    kind: Kind
    path: str = ""
    """Of an input its name, of a parameter, buffer or attribute its dotted path from the module of the scope."""
    number: int | float | None = None
    """What it was in this run, of a number."""
    shape: tuple[int, ...] | None = None
    fixed: bool = False
    """Whether neither inputs nor weights decide what it is: sizes may."""
    parts: int = 0
    """How many items it has, of a tuple or list that a module is given."""
    names: list[str] = field(default_factory=list)
    wholes: list[str] = field(default_factory=list)
    """What the author's program calls the tuple that it is the first item of."""


@dataclass(frozen=True)
class Target:
    """What was called: an operation of the language in one of its forms, or a module."""

    form: Literal["function", "method", "operator", "attribute", "item", "module", "loop", "base", "update"]
    name: str
    module: nn.Module | None = field(default=None, compare=False)
    effect: bool = field(default=False, compare=False)
    """Whether it counts even where nobody reads its result: it gives buffers new values, or is a layer."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call, its arguments and what it returned."""

    target: Target
    args: tuple[Structure, ...]
    kwargs: Mapping[str, Structure]
    result: Structure
    position: Position | None = None


@dataclass(eq=False)
class Scope:
    """One call of a module that is no layer of the catalogue, from inside."""

    module: nn.Module
    inputs: dict[str, Structure] = field(default_factory=dict)
    """By the names of the arguments of `forward`: those that hold values."""
    calls: list[Call] = field(default_factory=list)
    result: Structure = None


@dataclass(frozen=True, eq=False)
class Record:
    """A whole run: the scopes of each module, in the order in which they were entered, and its layers' inputs."""

    root: nn.Module
    scopes: Mapping[nn.Module, Sequence[Scope]]
    layer_inputs: Mapping[nn.Module, Sequence[tuple[int, ...] | None]]
    """The shapes of the first inputs of each layer of the catalogue."""
    words: Mapping[nn.Module, str]
    """What the author's programs call modules."""
    looks: Sequence[Position] = ()
    """Where the author's program looked at what is in a tensor, and went the way that it said."""
    idle: frozenset[nn.Module] = frozenset()
    """Layers that do nothing, and that the spec does without."""

    def is_layer(self, module: nn.Module) -> bool:
        """Return whether a module is a layer of the catalogue, or was found to be nothing more than one."""
        if module in self.scopes:
            return False
        return is_leaf(module) or module in self.layer_inputs or holds_a_layer(module)


def is_fixed(structure: Structure) -> bool:
    """Return whether neither inputs nor weights decide what is in a structure."""
    return all(value.fixed for value in values_in(structure))


def values_in(structure: Structure) -> Iterator[Value]:
    """Yield the values of a structure, in their order."""
    if isinstance(structure, Value):
        yield structure
    elif isinstance(structure, slice):
        yield from values_in((structure.start, structure.stop, structure.step))
    elif isinstance(structure, Mapping):
        yield from values_in(tuple(structure.values()))
    elif isinstance(structure, tuple | list):
        for each in structure:
            yield from values_in(each)
