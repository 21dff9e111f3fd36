"""What each item of a list made, in each instance."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from compiler.emit.choose import Case
from compiler.emit.layer_emitter import Pairs
from compiler.emit.scope import ConstructorScope
from compiler.infer.states import State
from compiler.infer.values import form_of, holds_recipe
from compiler.placement.groups import several_classes
from compiler.program import Choice, Item, Repeat, Reuse, Splice
from compiler.resolve.values import free_names

Child = tuple[str, State]
Rows = list[tuple[Case, list[Child]]]
"""The children that one item of a sequence made, in each instance."""
Values = Mapping[str, object]
NOTHING: Values = MappingProxyType({})


@dataclass(frozen=True)
class Share:
    """An item, with the children that it made in each instance, and the values of names that it is written for."""

    item: Item
    rows: Rows
    fixed: Values

    @property
    def made_any(self) -> bool:
        """Whether it made a layer anywhere."""
        return any(made for _, made in self.rows)


class Shares:
    """Shares out the children of lists of one class."""

    def __init__(self, scope: ConstructorScope) -> None:
        self.scope = scope
        self.builder = scope.file.builder

    def of(self, items: Sequence[Item], rows: Rows, fixed: Values = NOTHING) -> Iterator[Share]:
        """Yield each item with its children in each instance: none for a layer that runs again.

        In the place of a condition that goes one way in all instances stand the items that it splices in, and in the
        place of copies that take layers as arguments the copies: no loop is over layers that are not yet made.
        """
        rest = [iter(made) for _, made in rows]
        for item in items:
            counts = [self._count([item], case) for case, _ in rows]
            parts = [list(islice(each, count)) for each, count in zip(rest, counts, strict=True)]
            share = [(case, part) for (case, _), part in zip(rows, parts, strict=True)]
            chosen = self._decided(item, share)
            if isinstance(chosen, Splice):
                yield from self.of(chosen.items, share, fixed)
            elif item.is_spread and isinstance(item.node, Repeat) and self._takes_layers(item.node, share):
                yield from self._written_out(item.node, share, fixed)
            elif chosen is not None:
                yield Share(item, share, fixed)

    def _takes_layers(self, node: Repeat, rows: Rows) -> bool:
        return bool(node.names) and any(
            holds_recipe(value)
            for case, _ in rows
            for bound in self.builder.bindings(node, case.values)
            for value in bound.values()
        )

    def _written_out(self, node: Repeat, rows: Rows, fixed: Values) -> Iterator[Share]:
        """Yield what each copy makes, with the values of its names."""
        bindings = [self.builder.bindings(node, case.values) for case, _ in rows]
        if any(_forms(each) != _forms(bindings[0]) for each in bindings):
            raise several_classes(node.span)
        copies = self.copies(node, rows)
        for at, bound in enumerate(bindings[0]):
            inner = [(Case(c.state, c.values, c.position[:-1]), m) for c, m in copies if c.position[-1] == at]
            if isinstance(node.of, Splice):
                yield from self.of(node.of.items, inner, {**fixed, **bound})
            else:
                copy = Item(inner[0][1][0][0], node.of, node.span)
                yield Share(copy, inner, {**fixed, **bound})

    def _decided(self, item: Item, share: Rows) -> Item | Splice | None:
        if not (item.is_spread and isinstance(item.node, Choice)):
            return item
        ways = {self.builder.decide(item.node, case.values) for case, _ in share}
        turns = ways == {True} and self.scope.may_turn(item.node, [case.values for case, _ in share])
        if len(ways) > 1 or turns:
            return item
        self.scope.file.runs.check_one_sided(free_names(item.node.condition), [case for case, _ in share])
        chosen = item.node.then if ways.pop() else item.node.otherwise
        assert chosen is None or isinstance(chosen, Splice)
        return chosen

    def _count(self, items: Sequence[Item], case: Case) -> int:
        places = self.builder.places(items, case.values)
        return sum(not isinstance(place.node, Reuse) for place in places)

    def copies(self, node: Repeat, rows: Rows) -> Rows:
        """Return the children of each copy."""
        inner: Rows = []
        for case, made in rows:
            rest = iter(made)
            for at, bound in enumerate(self.builder.bindings(node, case.values)):
                each = Case(case.state, {**case.values, **bound}, (*case.position, at))
                count = self._count(node.of.items, each) if isinstance(node.of, Splice) else 1
                inner.append((each, list(islice(rest, count))))
        return inner


def layers(rows: Rows) -> Pairs:
    """Return the one layer that each instance made."""
    return [(case, made[0][1]) for case, made in rows]


def _forms(bindings: Sequence[Values]) -> list[dict[str, Hashable]]:
    """Return what layers the values of each copy make."""
    return [{name: form_of(value) for name, value in bound.items()} for bound in bindings]
