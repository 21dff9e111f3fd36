"""Where values move between devices: what the check of a placement finds, for the emitter and for people."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from compiler.infer.placed import Placed, placed_in
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.source import Span


class Slot(NamedTuple):
    """A place in the source of a class where a value may move.

    `kind` is "value" for an expression of the program, which `at` gives by its position; "input" for an input of
    the block, by its name; "layer" for the input of a layer, by its place in the running order; "result" for a
    branch that is combined with others, by its number.
    """

    group: Hashable
    kind: str
    at: Hashable


class Follow(NamedTuple):
    """An expression that is on the device to move to.

    `own` says that it starts at `self` of the class; otherwise it is in the words of the program. `layer` says that
    it is a layer, whose parameters tell; one without any leaves the value where it is.
    """

    own: bool
    text: str
    layer: bool = False


@dataclass(eq=False)
class Move:
    """What happens at a slot, over all instances of its class."""

    span: Span
    form: str = ""
    """Of what moves: "tensor", "list" or "tuple"."""
    optional: bool = False
    """Whether there is no value in some instance."""
    follows: list[Follow] | None = None
    """What has the right device in every instance, the plainest first."""
    routes: dict[tuple[str, str], None] = field(default_factory=dict)
    """From which device to which one."""

    @property
    def follow(self) -> Follow:
        assert self.follows
        return self.follows[0]


@dataclass(eq=False)
class Transfers:
    """All moves of a model."""

    slots: dict[Slot, Move] = field(default_factory=dict)
    relays: dict[object, set[int]] = field(default_factory=dict)
    """The places of the items of a sequence in front of which the value that flows moves."""
    routes: dict[tuple[Span, str, str], None] = field(default_factory=dict)
    """Every move for people: where it is written, from where, to where."""

    def note(self, slot: Slot, value: Any, target: str, follows: Sequence[Follow], span: Span) -> None:
        """Note what comes through a slot in one instance, and where it has to be."""
        move = self.slots.setdefault(slot, Move(span))
        if value is None:
            move.optional = True
        if not placed_in(value):
            return
        move.follows = [f for f in (follows if move.follows is None else move.follows) if f in follows]
        move.form = "tensor" if isinstance(value, Placed) else type(value).__name__
        for place in {tensor.place for tensor in placed_in(value)} - {target}:
            move.routes[place, target] = None
            self.routes[span, place, target] = None

    def move(self, slot: Slot) -> Move | None:
        """Return the move at a slot, or None if nothing crosses there in any instance."""
        found = self.slots.get(slot)
        return found if found is not None and found.routes else None

    def check(self) -> None:
        """Make sure that every move can be written. SpecError otherwise."""
        problems = list(self._problems())
        if problems:
            raise SpecError(problems)

    def _problems(self) -> Iterator[Diagnostic]:
        for move in self.slots.values():
            if not move.routes:
                continue
            ways = " and ".join(f"from {source} to {target}" for source, target in move.routes)
            if move.form not in ("tensor", "list", "tuple"):
                yield Diagnostic(
                    "device-mix",
                    f"a {move.form} would have to move {ways}",
                    move.span,
                    help="take it apart, and give the tensors in it one by one",
                )
            elif not move.follows:
                yield Diagnostic(
                    "device-mix",
                    f"this value has to move {ways}, and nothing here is on the right device in every copy",
                    move.span,
                    help="give the value to follow a name, and write `.to(name.device)`",
                )


def layer_input(at: int, number: int) -> Hashable:
    """Return the place of an input of a layer: that of the layer in the running order, and the number of the input."""
    return (at, number) if number else at


def position(node: ast.AST) -> tuple[int, int, int, int]:
    """Return what tells an expression from the others of its program: it stays when one is built anew."""
    first = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
    return *first, getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)
