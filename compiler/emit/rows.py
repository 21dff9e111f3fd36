"""Layers in a row, as the arguments of `nn.Sequential`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from compiler.emit.choose import Case
from compiler.emit.groups import several_classes
from compiler.emit.listing import ListWriter, layers
from compiler.emit.loops import LoopHead
from compiler.emit.syntax import call, dotted
from compiler.infer.states import BlockState, Chain, State
from compiler.infer.values import freeze, holds_recipe
from compiler.program import Choice, Item, NameTemplate, Repeat, Reuse, Splice
from compiler.program import Sequence as SequenceNode

if TYPE_CHECKING:
    from compiler.emit.nodes import NodeEmitter

Pairs = list[tuple[Case, State]]
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


class RowEmitter:
    """Emits the rows of layers of one class: written out, or where that takes loops and conditions, as a list."""

    def __init__(self, nodes: NodeEmitter) -> None:
        self.nodes = nodes
        self.builder = nodes.module.builder

    def sequence(self, node: SequenceNode | Repeat, pairs: Pairs) -> ast.expr:
        """Return the layer of a list, or of a repeat that has a name of its own."""
        cls, keywords = self.nodes.module.sequential(node)
        items = [Item(None, node, node.span)] if isinstance(node, Repeat) else node.items
        return call(dotted(cls), *self.arguments(items, pairs), **keywords)

    def arguments(self, items: Sequence[Item], pairs: Pairs) -> list[ast.expr]:
        """Return the arguments of `nn.Sequential` for the items of a list."""
        rows = [(case, _children(state)) for case, state in pairs]
        if not any(made for _, made in rows):
            return []
        plain = all(_numbered(made) for _, made in rows) and not any(isinstance(i.node, Reuse) for i in items)
        if not plain:
            self.nodes.module.names.used.add("OrderedDict")
        shares = list(self.shares(items, rows))
        if any(self._is_long(share) for share in shares):
            return [ListWriter(self, plain).write(shares)]
        written = [self._argument(share, plain) for share in shares if share.made_any]
        if plain:
            return written
        if len(written) == 1 and isinstance(written[0], ast.Starred):
            return [call("OrderedDict", written[0].value)]
        return [call("OrderedDict", ast.List(written, ast.Load()))]

    def _is_long(self, share: Share) -> bool:
        """Say whether an item takes statements that put it into a list; what is inside of one layer goes before."""
        open_ended = share.item.is_spread or isinstance(share.item.node, Choice)
        return open_ended and self.nodes.branches.in_item(share.item, [case.values for case, _ in share.rows])

    def _argument(self, share: Share, plain: bool) -> ast.expr:
        item, rows = share.item, share.rows
        with self.nodes.hinted(item.name), self.nodes.fixed(share.fixed):
            if item.is_spread:
                assert isinstance(item.node, Repeat)
                return ast.Starred(self._comprehension(item.node, rows, plain), ast.Load())
            made = self.nodes.emit(item.node, layers(rows))
            return made if plain else ast.Tuple([self._title(item, rows), made], ast.Load())

    def _title(self, item: Item, rows: Rows) -> ast.expr:
        if item.label is not None:
            return self.template(item.label)
        return self.nodes.choose([made[0][0] for _, made in rows], [case for case, _ in rows], "title")

    def template(self, label: NameTemplate) -> ast.expr:
        """Return `f"layer{index + 1}"`."""
        parts: list[ast.expr] = []
        for part in label.parts:
            if isinstance(part, str):
                parts.append(ast.Constant(part))
            else:
                parts.append(ast.FormattedValue(self.nodes.translator.translate(part.tree), -1, None))
        return ast.JoinedStr(parts)

    # What each item made.

    def shares(self, items: Sequence[Item], rows: Rows, fixed: Values = NOTHING) -> Iterator[Share]:
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
                yield from self.shares(chosen.items, share, fixed)
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
        if any(freeze(each) != freeze(bindings[0]) for each in bindings):
            raise several_classes(node.span)
        copies = self.copies(node, rows)
        for at, bound in enumerate(bindings[0]):
            inner = [(Case(c.state, c.values, c.position[:-1]), m) for c, m in copies if c.position[-1] == at]
            if isinstance(node.of, Splice):
                yield from self.shares(node.of.items, inner, {**fixed, **bound})
            else:
                copy = Item(inner[0][1][0][0], node.of, node.span)
                yield Share(copy, inner, {**fixed, **bound})

    def _decided(self, item: Item, share: Rows) -> Item | Splice | None:
        if not (item.is_spread and isinstance(item.node, Choice)):
            return item
        ways = {self.builder.decide(item.node, case.values) for case, _ in share}
        if len(ways) > 1:
            return item
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

    # Loops.

    @contextmanager
    def loop(self, node: Repeat, rows: Rows) -> Iterator[LoopHead]:
        """Enter a loop over copies: what is emitted meanwhile may read what the loop binds."""
        nodes = self.nodes
        head = LoopHead(nodes, node, [case for case, _ in rows])
        for each in nodes.open_loops:
            each.inner.append(head)
        nodes.open_loops.append(head)
        before, hidden = nodes.translator.renamed, nodes.visible
        nodes.translator.renamed = {**before, **head.renamed}
        nodes.visible = hidden | head.renamed.keys()
        nodes.chooser.loops.append(head.loop)
        yield head
        nodes.chooser.loops.pop()
        nodes.open_loops.pop()
        nodes.translator.renamed, nodes.visible = before, hidden

    def _comprehension(self, node: Repeat, rows: Rows, plain: bool) -> ast.expr:
        """Return a comprehension over the copies of a layer."""
        start = None if plain or node.label else self._first_number(rows)
        with self.nodes.without_statements(), self.loop(node, rows) as head:
            assert not isinstance(node.of, Splice)
            element = self.nodes.emit(node.of, layers(self.copies(node, rows)))
            if not plain:
                label = self.template(node.label) if node.label else head.number(start)
                element = ast.Tuple([label, element], ast.Load())
        target, over = head.written([element])
        return ast.ListComp(element, [ast.comprehension(target, over, [], 0)])

    def _first_number(self, rows: Rows) -> ast.expr:
        made = [(case, int(children[0][0])) for case, children in rows if children]
        return self.nodes.choose([number for _, number in made], [case for case, _ in made], "start")


def _children(state: State) -> list[Child]:
    if isinstance(state, Chain):
        return list(zip(state.names, state.states, strict=True))
    assert isinstance(state, BlockState)
    return list(state.children.items())


def _numbered(children: Sequence[Child]) -> bool:
    return [title for title, _ in children] == [str(at) for at in range(len(children))]
