"""Where values go: what has to be on which device, what they may follow there, and what may not move."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.infer.engine import Engine
from compiler.infer.module_references import ModuleReference
from compiler.infer.placed import Owned, Placed, map_tensors, placed_in, put
from compiler.infer.states import BlockState, Chain, Leaf, State, is_item, item_place, part_named
from compiler.placement.groups import ClassGroup
from compiler.placement.places import Places
from compiler.placement.transfers import Follow, Slot, Transfers
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.keys import is_attribute
from spec_schema.source import Span

SHOWN = 64
"""Tensors of a block that are tried as what a value may follow."""


@dataclass
class Router(Engine):
    """Knows where tensors are, and notes where values move."""

    groups: Mapping[Hashable, ClassGroup] = field(default_factory=dict)
    places: dict[State, Places] = field(default_factory=dict)
    """Of each located state."""
    moves: Transfers = field(default_factory=Transfers)

    def send(self, slot: Slot, value: Any, target: str, follows: Sequence[Follow], span: Span) -> Any:
        """Note that a value has to be on a device; return it there.

        Raises:
            SpecError: it is a parameter or buffer, which stays where it is.
        """
        kept = next((t for t in placed_in(value) if t.owned is not None and t.place != target), None)
        if kept is not None:
            raise self.stays(kept, target, span)
        self.moves.note(slot, value, target, follows, span)
        return moved(value, target)

    def target(self, state: State, inputs: Any) -> str | None:
        """Return the device on which a layer wants its inputs, None where it takes them as they are."""
        if not isinstance(state, Leaf | Chain):
            return None  # a block moves its inputs itself
        devices = {tensor.place for tensor in placed_in(inputs)}
        home = self.places[state].home
        if home is None and isinstance(state, Leaf) and len(devices) > 1:
            return placed_in(inputs)[0].place
        return home

    def own(self, state: BlockState, device: str) -> list[Follow]:
        """Return the tensors of a block that are on a device, which values may follow."""
        found = []
        for steps, spot in self.places[state].walk():
            if spot.device == device:
                found.append(Follow(True, text_of(state, steps)))
            if len(found) == SHOWN:
                break
        return found

    def tells(self, state: State) -> bool:
        """Return whether the first parameter of a layer, or the lack of any, tells where its inputs have to be."""
        match state:
            case Leaf():
                assert state.module is not None
                return any(True for _ in state.module.parameters()) or not any(
                    True for _ in state.module.buffers()
                )
            case Chain():
                return self.places[state].home is not None and all(map(self.tells, state.states))
        return not self.places[state].devices

    def suffixes(self, cell: ModuleReference) -> list[str]:
        """Return how the first tensor of a layer is written behind the layer's name."""
        return [text_of(cell.state, steps)[len("self") :] for steps, _ in self.places[cell.state].walk()][:1]

    def key(self, state: State, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Hashable | None:
        key = super().key(state, inputs, keywords)
        owned = tuple(tensor.owned for tensor in placed_in([*inputs, *keywords.values()]))
        return (key, owned) if key is not None else None

    def stays(self, tensor: Placed, target: str, span: Span) -> SpecError:
        """Return the refusal to move a parameter or buffer."""
        assert tensor.owned is not None
        rule = tensor.owned.rule
        return refuse(
            "device-mix",
            f"`{tensor.owned.name}` is on {tensor.place}, and is needed on {target}",
            span,
            labels=(Label(rule, f"the rule of `{tensor.owned.name}`"),) if rule is not None else (),
            notes=self.trail.notes(),
            help="parameters and buffers stay where they are: place both on one device",
        )

    def mix(self, what: str, tensors: Sequence[Placed], span: Span) -> SpecError:
        """Return the refusal of operands on two devices, with the rules that placed them."""
        first = tensors[0]
        second = next(each for each in tensors if each.place != first.place)
        one, two = _described(first.owned, first.place), _described(second.owned, second.place)
        return refuse(
            "device-mix",
            f"{what} would get {one}, and {two}",
            span,
            labels=tuple(
                Label(each.owned.rule, f"the rule of `{each.owned.name}`")
                for each in (first, second)
                if each.owned is not None and each.owned.rule is not None
            ),
            notes=self.trail.notes(),
            help="parameters and buffers stay where they are: place both on one device",
        )


def _described(owned: Owned | None, place: str) -> str:
    return f"`{owned.name}` on {place}" if owned is not None else f"a value on {place}"


def moved(value: Any, target: str) -> Any:
    """Return a nested value with its tensors on a device."""
    return map_tensors(lambda t: put(t, target) if isinstance(t, Placed) and t.place != target else t, value)


def text_of(state: State, steps: Sequence[str]) -> str:
    """Return the expression that reaches a part of a layer from `self`; one of an odd key is `['1x1']`."""
    current: State | None = state
    text = "self"
    for name in steps:
        if is_item(current, name):
            text += f"[{item_place(current, name)}]"
        else:
            text += f".{name}" if is_attribute(name) else f"[{name!r}]"
        current = part_named(current, name)
    return text
