"""A layer as a program sees it: something to call, to index, to iterate, and to take parameters from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from compiler.infer.call_kinds import MemberOf, PartOf
from compiler.infer.call_stack import CallStack
from compiler.infer.states import BlockState, Chain, Leaf, State, item_place, part_named
from compiler.program import BASE, BASE_CALL, Definition, ModuleBody, ResidualBody, SequenceBody
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

SHOWN_NAMES = 20


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

    def with_children(self, state: BlockState, reached: Mapping[str, State]) -> BlockState: ...

    def with_tensors(self, state: BlockState, path: str, place: Span) -> BlockState: ...


class ModuleReference:
    """Holds the state of one layer during a run; each call replaces it by the state after the call."""

    def __init__(
        self,
        engine: Running,
        name: str,
        state: State,
        owner: ModuleReference | None = None,
        of_row: bool = False,
    ) -> None:
        self.engine = engine
        self.name = name
        self.state = state
        self.owner = owner
        """The layer that it is taken from."""
        self.of_row = of_row
        """Whether that is a list or repeat, of which it is an item."""
        self._inside: dict[str, ModuleReference] = {}

    @property
    def path(self) -> str:
        """Its name, behind those of the layers that it is taken from: `h.0`."""
        if self.owner is None:
            return self.name
        return f"{self.owner.path}.{self.name}" if self.name != BASE else self.owner.path

    @property
    def written(self) -> str:
        """How a program reaches it: `h[0]`."""
        if self.owner is None:
            return self.name
        if not self.of_row:
            return f"{self.owner.written}.{self.name}"
        return f"{self.owner.written}[{item_place(self.owner.state, self.name)}]"

    def described(self) -> str:
        """Return the layer as a person would name it."""
        return f"`{self.path}`"

    def __repr__(self) -> str:
        return f"the layer {self.described()}"

    def _step(self) -> str:
        """Return its name in the trail: with those of its owners, where these are not on the trail themselves."""
        frames = self.engine.trail.frames
        inside = self.owner is None or (frames and frames[-1].state is self.owner.state)
        return self.name if inside else self.path

    def call(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span, where: str) -> Any:
        """Call the layer; return its output."""
        before = self.freeze()
        with self.engine.trail.inside(self._step(), before, place):
            if isinstance(before, Chain):
                return self._call_chain(inputs, keywords, place)
            state, output = self.engine.step(before, inputs, keywords, place, where)
            self._renew(state)
            return output

    def _call_chain(self, inputs: Sequence[Any], keywords: Mapping[str, Any], place: Span) -> Any:
        if len(inputs) != 1 or keywords:
            raise refuse(
                "input-count",
                f"`{self.path}` is a sequence, and takes one input",
                place,
                help=f"call its items: `for layer in {self.written}: x = layer(x, ...)`",
            )
        key = self.engine.key(self.state, inputs, {})
        if key is None or key not in self.engine.steps:
            value = inputs[0]
            for part in self.parts(place):
                value = part.call([value], {}, self.engine.place_of(part.state) or place, part.name)
            if key is None:
                return value
            self.engine.steps[key] = self.freeze(), value
        state, value = self.engine.steps[key]
        self._renew(state)
        return value

    def _renew(self, state: State) -> None:
        """Go on from another state, with all that was taken from the layer."""
        self.state = state
        for name, inside in self._inside.items():
            found = part_named(state, name)
            assert found is not None
            inside._renew(found)

    def parts(self, place: Span) -> list[ModuleReference]:
        """Return the items of a sequence or repeat."""
        return [self._part(name, state, of_row=True) for name, state in self._items(place)]

    def _part(self, name: str, state: State, of_row: bool) -> ModuleReference:
        if name not in self._inside:
            self._inside[name] = type(self)(self.engine, name, state, self, of_row)
        return self._inside[name]

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
        """Return a parameter, a buffer or a layer of the layer."""
        state = self.state
        if isinstance(state, Leaf):
            return self._tensor_of_leaf(state, name, place)
        key = self._key(name)
        child = part_named(state, key) if key is not None else None
        if key is not None and child is not None:
            return self._part(key, child, of_row=False)
        if isinstance(state, BlockState):
            self.state = state = self.engine.with_tensors(state, self.path, place)
            if name in state.tensors:
                return state.tensors[name]
            if BASE in state.children:
                return self._part(BASE, state.children[BASE], of_row=False).member(name, place)
        raise self._no_member(name, place)

    def _key(self, name: str) -> str | None:
        """Return the key of the layer that programs call by a name. What a block extends is no layer in it."""
        body = self.state.definition.body if isinstance(self.state, BlockState) else None
        if not isinstance(body, ModuleBody):
            return name
        return next((key for key in body.layers if key != BASE and body.called(key) == name), None)

    def _no_member(self, name: str, place: Span) -> SpecError:
        state = self.state
        inside = [*_called(state), *state.tensors] if isinstance(state, BlockState) else []
        inside += state.names if isinstance(state, Chain) else []
        near = did_you_mean(name, inside)
        return refuse(
            "unknown-attribute",
            f"`{self.path}` has no layer, parameter or buffer `{name}`",
            place,
            notes=() if near else (f"it has {', '.join(inside[:SHOWN_NAMES]) or 'none'}",),
            help=f"did you mean `{near}`?" if near else None,
        )

    def kind_of(self, name: str) -> MemberOf:
        """Return what a member of the layer is."""
        match self.state:
            case Leaf(module=nn.Module() as module):
                return "parameter" if name in dict(module.named_parameters()) else "buffer"
            case BlockState(definition=Definition(body=ModuleBody(tensors=tensors))) if name in tensors:
                return tensors[name].kind
        key = self._key(name)
        if key is None:
            return self._inside[BASE].kind_of(name)
        return "part" if key == name else PartOf(key)

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
        after = {name: inside.freeze() for name, inside in self._inside.items()}
        state = self.state
        if isinstance(state, BlockState) and after:
            self.state = self.engine.with_children(state, after)
        elif isinstance(state, Chain) and any(
            each is not part_named(state, name) for name, each in after.items()
        ):
            states = dict(zip(state.names, state.states, strict=True)) | after
            self.state = Chain(state.node, state.names, tuple(states.values()))
        return self.state


def _called(state: BlockState) -> list[str]:
    """Return what programs call the layers of a block."""
    body = state.definition.body
    return [body.called(key) if isinstance(body, ModuleBody) else key for key in state.children]


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
