"""A run of a program that notes what each layer returns, and what each statement binds.

Notes belong to a node of the program or of an `ast`, by its identity; the first value is that of the first call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.infer.engine import Engine
from compiler.infer.interpreter import Interpreter
from compiler.infer.states import BlockState, Chain, Leaf, Operation, State, part_named
from compiler.infer.values import same_form
from compiler.program import Definition, LayerNode, ModuleBody, ParallelBody, Repeat, Splice
from compiler.program import Sequence as SequenceNode
from spec_schema.grammar import Source
from spec_schema.source import Span

MOST = 3
"""Values of other forms that are kept of one place."""


@dataclass(eq=False)
class Seen:
    """A layer as it was called first: where it is in the model, and what it got."""

    node: LayerNode | Splice | Definition
    path: str
    state: State
    inputs: Sequence[Any]
    outputs: list[Any] = field(default_factory=list)
    """What it returned, in its first calls."""


@dataclass(eq=False)
class Bound:
    """A name that a statement gives a value."""

    source: Source
    target: ast.Name
    values: list[Any] = field(default_factory=list)


@dataclass(eq=False)
class Record:
    """What was seen in one run, by the identities of nodes."""

    layers: dict[int, Seen] = field(default_factory=dict)
    blocks: dict[int, Seen] = field(default_factory=dict)
    """The blocks, by their definitions."""
    bound: dict[int, Bound] = field(default_factory=dict)

    def note_layer(self, node: LayerNode | Splice, path: str, state: State, inputs: Any, output: Any) -> None:
        """Note one call of a layer."""
        seen = self.layers.setdefault(id(node), Seen(node, path, state, inputs))
        _add(seen.outputs, output)

    def note_block(self, state: BlockState, path: str, inputs: Any, output: Any) -> None:
        """Note one call of a block."""
        seen = self.blocks.setdefault(id(state.definition), Seen(state.definition, path, state, inputs))
        _add(seen.outputs, output)

    def note_bound(self, source: Source, target: ast.Name, value: Any) -> None:
        """Note what a name holds."""
        _add(self.bound.setdefault(id(target), Bound(source, target)).values, value)


def _add(values: list[Any], value: Any) -> None:
    """Keep a value that has another form than those before."""
    if len(values) < MOST and not any(same_form(each, value) for each in values):
        values.append(value)


class RecordingInterpreter(Interpreter):
    """Notes each value that is bound to a name."""

    def bind(self, target: ast.AST, value: Any) -> None:
        if isinstance(target, ast.Name):
            assert isinstance(self.engine, RecordingEngine)
            self.engine.record.note_bound(self.source, target, value)
        super().bind(target, value)


class RecordingEngine(Engine):
    """Runs programs, and notes what it comes by in `record`."""

    record: Record
    interpreting = RecordingInterpreter

    def step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]:
        after, output = super().step(state, inputs, keywords, place, where)
        frames = self.trail.frames
        path = ".".join(frame.name for frame in frames[1:] if frame.name)
        given = [*inputs, *keywords.values()]
        if isinstance(after, BlockState):
            self.record.note_block(after, path, given, output)
        if isinstance(after, Leaf | Operation):
            self.record.note_layer(after.node, path, after, given, output)
        for node, depth in self._nodes():
            upper = path if not depth else path.rsplit(".", depth)[0]
            self.record.note_layer(node, upper, after, given, output)
        return after, output

    def _nodes(self) -> Iterator[tuple[LayerNode | Splice, int]]:
        """Yield the nodes that the layer under way is written as, and the lists of which it is the last one."""
        frames = self.trail.frames
        depth, last = 0, True
        for number in range(len(frames) - 1, 0, -1):
            owner, names = frames[number - 1].state, frames[number].name.split(".")
            for node, is_last in reversed(list(_way(owner, names))):
                if last and node is not None:
                    yield node, depth
                last = last and is_last
                depth += 1
            if not last or not isinstance(owner, Chain):
                return


def _way(owner: State, names: Sequence[str]) -> Iterator[tuple[LayerNode | Splice | None, bool]]:
    """Yield the node of each part on the way to a layer, and whether it is the last of its list."""
    state: State | None = owner
    for name in names:
        yield _written(state, name), isinstance(state, Chain) and name == state.names[-1]
        state = part_named(state, name)


def _written(owner: State | None, name: str) -> LayerNode | Splice | None:
    """Return the node that a part of a layer is written as, None where several may be."""
    match owner:
        case Chain(node=Repeat() as repeat):
            return repeat.of
        case Chain(node=SequenceNode() as row, names=names) if len(row.items) == len(names):
            return row.items[names.index(name)].node
        case BlockState(definition=Definition(body=ModuleBody(layers=layers))):
            return layers.get(name)
        case BlockState(definition=Definition(body=ParallelBody(branches=branches)), children=children):
            at = list(children).index(name) if name in children else len(branches)
            return branches[at].node if len(branches) == len(children) > at else None
        case BlockState(order=order):
            return next((item.node for each, item in order if each == name), None)
    return None
