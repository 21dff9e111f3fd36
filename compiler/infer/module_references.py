"""A layer as a program sees it: something to call, to index, to iterate, and to take parameters from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from compiler.infer.call_stack import CallStack
from compiler.infer.states import BlockState, Chain, Leaf, State
from compiler.program import BASE_CALL, ResidualBody, SequenceBody
from spec_schema.diagnostics import refuse
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean


class Running(Protocol):
    """What runs the calls of layers, and remembers their outcomes."""

    trail: CallStack
    steps: dict[Hashable, tuple[State, Any]]

    def key(self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Hashable | None: ...

    def step(
        self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str
    ) -> tuple[State, Any]: ...

    def shaped(self, state: Leaf, place: Span, inputs: Sequence[Any] = ()) -> Leaf: ...

    def place_of(self, state: State) -> Span | None: ...

    def with_children(self, state: BlockState, children: Mapping[str, State]) -> BlockState: ...


class ModuleReference:
    """Holds the state of one layer during a run; each call replaces it by the state after the call."""

    def __init__(self, engine: Running, name: str, state: State, row: ModuleReference | None = None) -> None:
        self.engine = engine
        self.name = name
        self.state = state
        self.row = row
        """The list or repeat that it is an item of."""
        self._parts: list[ModuleReference] | None = None

    @property
    def path(self) -> str:
        """Its name, behind those of the lists that it is taken from: `h.0`."""
        return self.name if self.row is None else f"{self.row.path}.{self.name}"

    @property
    def written(self) -> str:
        """How a program reaches it: `h[0]`."""
        if self.row is None:
            return self.name
        return f"{self.row.written}[{(self.row._parts or [self]).index(self)}]"

    def described(self) -> str:
        """Return the layer as a person would name it."""
        return f"`{self.path}`"

    def __repr__(self) -> str:
        return f"the layer {self.described()}"

    def _step(self) -> str:
        """Return its name in the trail: with those of its lists, where these are not on the trail themselves."""
        frames = self.engine.trail.frames
        inside = self.row is None or (frames and frames[-1].state is self.row.state)
        return self.name if inside else self.path

    def call(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str) -> Any:
        """Call the layer; return its output."""
        with self.engine.trail.inside(self._step(), self.state, place):
            if isinstance(self.state, Chain):
                return self._call_chain(inputs, keywords, place)
            self.state, output = self.engine.step(self.state, inputs, keywords, place, where)
            return output

    def _call_chain(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span) -> Any:
        if len(inputs) != 1 or keywords:
            raise refuse(
                "input-count",
                f"`{self.path}` is a sequence, and takes one input",
                place,
                help=f"call its items: `for layer in {self.written}: x = layer(x, ...)`",
            )
        key = self.engine.key(self.state, inputs, {}) if self._parts is None else None
        if key is None or key not in self.engine.steps:
            value = inputs[0]
            for part in self.parts(place):
                value = part.call([value], {}, self.engine.place_of(part.state) or place, part.name)
            if key is None:
                return value
            self.engine.steps[key] = self.freeze(), value
        self.state, value = self.engine.steps[key]
        self._parts = None
        return value

    def parts(self, place: Span) -> list[ModuleReference]:
        """Return the items of a sequence or repeat."""
        if self._parts is None:
            self._parts = [type(self)(self.engine, name, state, self) for name, state in self._items(place)]
        return self._parts

    def _items(self, place: Span) -> list[tuple[str, State]]:
        state = self.state
        if isinstance(state, Chain):
            return list(zip(state.names, state.states, strict=True))
        if isinstance(state, BlockState) and isinstance(state.definition.body, SequenceBody | ResidualBody):
            return list(state.children.items())
        raise refuse(
            "not-iterable",
            f"`{self.path}` has no items to go over",
            place,
            help="a repeat and a list have items",
        )

    def index(self, key: Any, place: Span) -> Any:
        """Return the item at an index, or the items of a slice."""
        parts = self.parts(place)
        if isinstance(key, bool) or not isinstance(key, int | slice):
            raise refuse(
                "not-an-index", f"the items of `{self.path}` are numbered", place, help="write `h[0]`"
            )
        try:
            return parts[key]
        except IndexError:
            raise refuse(
                "not-an-index", f"`{self.path}` has {len(parts)} items, and no item {key}", place
            ) from None

    def member(self, name: str, place: Span) -> Tensor | ModuleReference:
        """Return a parameter, a buffer or a child of the layer."""
        if isinstance(self.state, Leaf):
            return self._tensor_of_leaf(self.state, name, place)
        if isinstance(self.state, BlockState) and name in self.state.tensors:
            return self.state.tensors[name]
        raise refuse(
            "unknown-attribute",
            f"`{self.path}` has no parameter `{name}` that can be reached",
            place,
            notes=("a program reaches the parameters and buffers of the layers of its own block",),
        )

    def _tensor_of_leaf(self, state: Leaf, name: str, place: Span) -> Tensor:
        state = state if state.module is not None else self._shaped(state, place)
        assert state.module is not None
        tensors = {**dict(state.module.named_parameters()), **dict(state.module.named_buffers())}
        if name not in tensors:
            near = did_you_mean(name, tensors)
            raise refuse(
                "unknown-attribute",
                f"`{self.path}` has no parameter or buffer `{name}`",
                place,
                notes=(f"a {state.layer.name} has {', '.join(tensors) or 'none'}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        return tensors[name].detach()

    def _shaped(self, state: Leaf, place: Span) -> Leaf:
        """Return a layer that is read before its first call: all of its sizes must be written."""
        missing = [a.name for a in state.layer.arguments if a.deferred and a.name not in state.values]
        if missing:
            raise refuse(
                "not-yet-shaped",
                f"`{self.path}` has no shape before its first call",
                place,
                help=f"call it first, or write its size: `{state.layer.name}(..., {missing[0]}=...)`",
            )
        shaped = self.engine.shaped(state, place)
        self.state = shaped
        return shaped

    def freeze(self) -> State:
        """Return the state after all calls."""
        if self._parts is None:
            return self.state
        states = [part.freeze() for part in self._parts]
        if isinstance(self.state, Chain):
            same = all(a is b for a, b in zip(states, self.state.states, strict=True))
            return self.state if same else Chain(self.state.node, self.state.names, tuple(states))
        assert isinstance(self.state, BlockState)
        children = dict(zip(self.state.children, states, strict=True))
        return self.engine.with_children(self.state, children)


class BaseReference(ModuleReference):
    """The layer that a block extends. Until it is called, its sizes follow from the inputs of the block."""

    def __init__(self, engine: Running, state: State, inputs: Sequence[Any]) -> None:
        super().__init__(engine, BASE_CALL, state)
        self.inputs = inputs

    def _shaped(self, state: Leaf, place: Span) -> Leaf:
        self.state = shaped = self.engine.shaped(state, place, self.inputs)
        return shaped

    def made(self, place: Span) -> Leaf:
        """Return the layer with its tensors, also where the program neither calls nor reads it."""
        assert isinstance(self.state, Leaf)
        return self.state if self.state.module is not None else self._shaped(self.state, place)
