"""The calls that are under way: where an error is, in which block, and what in that block explains it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from compiler.infer.states import BlockState, Identity, State
from compiler.infer.values import show
from compiler.program import Choice, Definition, ModuleBody
from compiler.resolve.values import free_names
from spec_schema.diagnostics import Label
from spec_schema.grammar import Expression
from spec_schema.source import Span


@dataclass
class Frame:
    """A call that is under way: which layer, and where it is called."""

    name: str
    state: State
    place: Span


@dataclass(eq=False)
class CallStack:
    """The frames from the model down to the call at hand."""

    frames: list[Frame] = field(default_factory=list)

    @contextmanager
    def inside(self, name: str, state: State, place: Span) -> Iterator[None]:
        """Keep a call on the trail while it runs."""
        self.frames.append(Frame(name, state, place))
        try:
            yield
        finally:
            self.frames.pop()

    def notes(self) -> tuple[str, ...]:
        """Return a note that names the block instance in which something went wrong."""
        blocks = [
            (number, frame.state, frame.place)
            for number, frame in enumerate(self.frames)
            if isinstance(frame.state, BlockState) and _is_named(frame.state.definition)
        ]
        if not blocks or blocks[-1][0] == 0:
            return ()
        number, state, place = blocks[-1]
        path = ".".join(frame.name for frame in self.frames[1 : number + 1] if frame.name) or "the model"
        article = "an" if state.definition.name[0] in "AEIOU" else "a"
        return (f"in {path}, {article} {instance(state)} from line {place.line}",)

    def cause(self) -> tuple[tuple[Label, ...], str | None]:
        """Return labels for the layers of the block that are nothing here, because of a choice, and the way out."""
        state = next((f.state for f in reversed(self.frames) if isinstance(f.state, BlockState)), None)
        if state is None or not isinstance(state.definition.body, ModuleBody):
            return (), None
        body = state.definition.body
        labels, help = [], None
        for name, child in state.children.items():
            node = body.layers[name]
            if isinstance(child, Identity) and isinstance(node, Choice):
                why = _because(node.condition, state.values)
                labels.append(Label(body.layer_spans[name], f"the identity here, because {why}"))
                help = help or _way_out(name, node.condition, state)
        return tuple(labels), help


def instance(state: BlockState, **changed: object) -> str:
    """Return a block as it was called: `Bottleneck(width=64, stride=1)`."""
    arguments = ", ".join(f"{name}={show(value)}" for name, value in {**state.arguments, **changed}.items())
    return f"{state.definition.name}({arguments})" if arguments else state.definition.name


def _is_named(definition: Definition) -> bool:
    """Return whether a block has a name in the spec: a residual or branches in parallel have none."""
    return any(each is definition for each in definition.scope.blocks.values())


def _because(condition: Expression, values: Mapping[str, object]) -> str:
    if isinstance(condition.tree, ast.Name):
        return f"{condition} = {show(values.get(condition.tree.id))}"
    names = sorted(free_names(condition) & set(values))
    known = ", ".join(f"{name} = {show(values[name])}" for name in names)
    return f"`{condition}` is false" + (f", with {known}" if known else "")


def _way_out(name: str, condition: Expression, state: BlockState) -> str | None:
    """Return how to call the block so that a choice makes a layer, if a switch among its arguments decides."""
    switch = condition.tree.id if isinstance(condition.tree, ast.Name) else ""
    if state.arguments.get(switch) is not False:
        return None
    return f"`{name}` is a layer in `{instance(state, **{switch: True})}`"
