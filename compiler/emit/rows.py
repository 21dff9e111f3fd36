"""Layers in a row, as the arguments of `nn.Sequential`."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from compiler.emit.layer_emitter import LayerEmitter, Pairs
from compiler.emit.listing import ListWriter, NamedListWriter
from compiler.emit.loops import inside_loop
from compiler.emit.scope import ConstructorScope
from compiler.emit.shares import Child, Rows, Share, Shares, layers
from compiler.emit.syntax import assign, call, dotted, load_name
from compiler.infer.states import BlockState, Chain, State
from compiler.program import Choice, Item, Repeat, Reuse, Splice
from compiler.program import Sequence as SequenceNode


class RowEmitter:
    """Emits the rows of layers of one class: written out, or where that takes loops and conditions, as a list."""

    def __init__(self, scope: ConstructorScope, layer_emitter: LayerEmitter) -> None:
        self.scope, self.layer_emitter, self.shares = scope, layer_emitter, Shares(scope)

    def sequence(self, node: SequenceNode | Repeat, pairs: Pairs) -> ast.expr:
        """Return the layer of a list, or of a repeat that has a name of its own."""
        cls, keywords = self.scope.file.sequential(node)
        items = [Item(None, node, node.span)] if isinstance(node, Repeat) else node.items
        if self.is_plain(items, pairs):
            return call(dotted(cls), *self.arguments(items, pairs), **keywords)
        name = self.scope.local_name(self.scope.hint)
        self.scope.statement(assign(name, call(dotted(cls), **keywords)))
        self.fill(load_name(name), items, pairs)
        return load_name(name)

    def is_plain(self, items: Sequence[Item], pairs: Pairs) -> bool:
        """Return whether the layers of a list are named by their positions, as `nn.Sequential` names its arguments."""
        numbered = all(_numbered(_children(state)) for _, state in pairs)
        return numbered and not any(isinstance(item.node, Reuse) for item in items)

    def arguments(self, items: Sequence[Item], pairs: Pairs) -> list[ast.expr]:
        """Return the arguments of `nn.Sequential` for the items of a list."""
        shares = self._all(items, pairs)
        if any(self._is_long(share) for share in shares):
            return [ListWriter(self.scope, self.layer_emitter).write(shares)]
        return [self._argument(share) for share in shares if share.made_any]

    def fill(self, target: ast.Name, items: Sequence[Item], pairs: Pairs) -> None:
        """Write the statements that add the items of a list to a layer, under their names."""
        NamedListWriter(self.scope, self.layer_emitter, target).write(self._all(items, pairs))

    def _all(self, items: Sequence[Item], pairs: Pairs) -> list[Share]:
        rows = [(case, _children(state)) for case, state in pairs]
        return list(self.shares.of(items, rows)) if any(made for _, made in rows) else []

    def _is_long(self, share: Share) -> bool:
        """Say whether an item takes statements that put it into a list; what is inside of one layer goes before."""
        open_ended = share.item.is_spread or isinstance(share.item.node, Choice)
        return open_ended and self.scope.branches.in_item(share.item, [case.values for case, _ in share.rows])

    def _argument(self, share: Share) -> ast.expr:
        item, rows = share.item, share.rows
        with self.scope.hinted(item.name), self.scope.fixed(share.fixed):
            if item.is_spread:
                assert isinstance(item.node, Repeat)
                return ast.Starred(self._comprehension(item.node, rows), ast.Load())
            return self.layer_emitter.emit(item.node, layers(rows))

    def _comprehension(self, node: Repeat, rows: Rows) -> ast.expr:
        """Return a comprehension over the copies of a layer."""
        with (
            self.scope.without_statements(),
            inside_loop(self.scope, node, [case for case, _ in rows]) as head,
        ):
            assert not isinstance(node.of, Splice)
            element = self.layer_emitter.emit(node.of, layers(self.shares.copies(node, rows)))
        target, over = head.written([element])
        return ast.ListComp(element, [ast.comprehension(target, over, [], 0)])


def _children(state: State) -> list[Child]:
    if isinstance(state, Chain):
        return list(zip(state.names, state.states, strict=True))
    assert isinstance(state, BlockState)
    return list(state.children.items())


def _numbered(children: Sequence[Child]) -> bool:
    return [name for name, _ in children] == [str(at) for at in range(len(children))]
