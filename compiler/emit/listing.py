"""Layers that loops and conditions put into a list, or with names into a dict, for `nn.Sequential` to take."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

from compiler.emit.syntax import annotated, assign, call, dotted, index, name
from compiler.program import Choice, Item, LayerNode, NameTemplate, Repeat, Reuse, Splice

if TYPE_CHECKING:
    from compiler.emit.rows import Pairs, RowEmitter, Rows, Share

LAYERS = "layers"


def layers(rows: Rows) -> Pairs:
    """Return the one layer that each instance made."""
    return [(case, made[0][1]) for case, made in rows]


class ListWriter:
    """Writes the statements that make one list."""

    def __init__(self, rows: RowEmitter, plain: bool) -> None:
        self.rows, self.nodes = rows, rows.nodes
        self.plain = plain
        """Whether the layers are named by their positions: a list then, and no dict."""
        self.list = self.nodes.local_name(self.nodes.hint)
        self.begun = False
        self.pending: list[ast.expr] = []
        """Layers one after the other, which one statement adds."""
        self.again = 0
        """Items so far that run a layer again: they have positions, and are in no dict."""

    def write(self, shares: Iterable[Share]) -> ast.expr:
        """Write the list, and return it as the argument of `nn.Sequential`."""
        self._items(shares)
        self._flush()
        return ast.Starred(name(self.list), ast.Load()) if self.plain else name(self.list)

    def _items(self, shares: Iterable[Share]) -> None:
        for share in shares:
            if isinstance(share.item.node, Reuse):
                self.again += 1
            elif share.made_any:
                with self.nodes.fixed(share.fixed):
                    self._item(share.item, share.rows)

    def _item(self, item: Item, rows: Rows) -> None:
        if item.is_spread and isinstance(item.node, Repeat):
            self._loop(item.node, rows)
        elif item.is_spread and isinstance(item.node, Choice):
            self._condition(item.node, rows)
        else:
            with self.nodes.hinted(item.name):
                self._layer(item.node, item.label, rows)

    def _loop(self, node: Repeat, rows: Rows) -> None:
        self._flush()
        inner = self.rows.copies(node, rows)
        with self.nodes.inner_statements() as body, self.rows.loop(node, rows) as head:
            if isinstance(node.of, Splice):
                self._items(self.rows.shares(node.of.items, inner))
            else:
                self._layer(node.of, node.label, inner)
            self._flush()
        target, over = head.written(body, is_statement=True)
        self.nodes.statement(ast.For(target, over, body, []))

    def _condition(self, node: Choice, rows: Rows) -> None:
        self._flush()
        branches: list[list[ast.stmt]] = []
        for way, branch in ((True, node.then), (False, node.otherwise)):
            share = [(c, made) for c, made in rows if self.nodes.module.builder.decide(node, c.values) is way]
            with self.nodes.inner_statements() as body:
                if isinstance(branch, Splice):
                    self._items(self.rows.shares(branch.items, share))
                self._flush()
            branches.append(body)
        test, (then, otherwise) = self.nodes.expression(node.condition), branches
        if not then:
            test, then, otherwise = ast.UnaryOp(ast.Not(), test), otherwise, []
        self.nodes.statement(ast.If(test, then, otherwise))

    def _layer(self, node: LayerNode, label: NameTemplate | None, rows: Rows) -> None:
        pairs = layers(rows)
        key = None if self.plain else self._key(label, rows)
        if key is not None or self.nodes.branches.in_node(node, [case.values for case, _ in rows]):
            self._flush()
            self.nodes.place(node, pairs, lambda made: self._added([made], key))
            return
        with self.nodes.inner_statements() as before:
            made = self.nodes.emit(node, pairs)
        if before or isinstance(made, ast.IfExp):
            self._flush()
        for statement in before:
            self.nodes.statement(statement)
        if isinstance(made, ast.IfExp):
            self.nodes.put(made, lambda one: self._added([one], None))
        else:
            self.pending.append(made)

    def _key(self, label: NameTemplate | None, rows: Rows) -> ast.expr:
        if label is not None:
            return self.rows.template(label)
        titles = {made[0][0] for _, made in rows}
        if len(titles) == 1:
            return ast.Constant(titles.pop())
        length: ast.expr = call("len", name(self.list))
        if self.again:
            length = ast.BinOp(length, ast.Add(), ast.Constant(self.again))
        return call("str", length)

    def _flush(self) -> None:
        """Write what is pending; the first time, make the list."""
        made, self.pending = self.pending, []
        if not self.begun:
            self.begun = True
            self.nodes.statement(self._start(made))
        elif made:
            self.nodes.statement(self._added(made, None))

    def _start(self, made: list[ast.expr]) -> ast.stmt:
        self.nodes.module.names.used.add("nn")
        module = dotted("nn.Module")
        if self.plain:
            return annotated(self.list, index(name("list"), module), ast.List(made, ast.Load()))
        types = ast.Tuple([name("str"), module], ast.Load())
        return annotated(self.list, index(name("OrderedDict"), types), call("OrderedDict"))

    def _added(self, made: list[ast.expr], key: ast.expr | None) -> ast.stmt:
        if key is not None:
            return assign(index(name(self.list), key), made[0])
        method = "append" if len(made) == 1 else "extend"
        value = made[0] if len(made) == 1 else ast.List(made, ast.Load())
        return ast.Expr(call(ast.Attribute(name(self.list), method, ast.Load()), value))
