"""Layers that loops and conditions put into a list, or that are added to one under names of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from compiler.emit.layer_emitter import LayerEmitter
from compiler.emit.loops import inside_loop
from compiler.emit.scope import ConstructorScope
from compiler.emit.shares import Rows, Share, Shares, layers
from compiler.emit.syntax import annotated, assign, call, dotted, index, load_name, own
from compiler.program import Choice, Item, LayerNode, NameTemplate, Repeat, Reuse, Splice


class ListWriter:
    """Writes the statements that make one list, for `nn.Sequential` to take."""

    def __init__(self, scope: ConstructorScope, layer_emitter: LayerEmitter) -> None:
        self.scope, self.layer_emitter, self.shares = scope, layer_emitter, Shares(scope)
        self.list = load_name(self.scope.local_name(self.scope.hint))
        self.begun = False
        self.pending: list[ast.expr] = []
        """Layers one after the other, which one statement adds."""

    def write(self, shares: Iterable[Share]) -> ast.expr:
        """Write the list, and return it as the argument of `nn.Sequential`."""
        self._items(shares)
        self._flush()
        return ast.Starred(self.list, ast.Load())

    def _items(self, shares: Iterable[Share]) -> None:
        for share in shares:
            if share.made_any:
                with self.scope.fixed(share.fixed):
                    self._item(share.item, share.rows)

    def _item(self, item: Item, rows: Rows) -> None:
        if item.is_spread and isinstance(item.node, Repeat):
            self._loop(item.node, rows)
        elif item.is_spread and isinstance(item.node, Choice):
            self._condition(item.node, rows)
        else:
            with self.scope.hinted(item.name):
                self._layer(item.node, item.label, rows)

    def _loop(self, node: Repeat, rows: Rows) -> None:
        self._flush()
        inner = self.shares.copies(node, rows)
        with (
            self.scope.hinted(None),
            self.scope.inner_statements() as body,
            inside_loop(self.scope, node, [case for case, _ in rows]) as head,
        ):
            head.loop.places = frozenset((case.state, case.position) for case, _ in inner)
            if isinstance(node.of, Splice):
                self._items(self.shares.of(node.of.items, inner))
            else:
                self._layer(node.of, node.label, inner)
            self._flush()
            body += [assign(name, each.update) for name, each in head.loop.carried.items()]
            body += head.updates(body)
        target, over = head.written(body, is_statement=True)
        for name, start in head.loop.starts.items():
            self.scope.statement(assign(name, start))
        for begin in head.starts():
            self.scope.statement(begin)
        self.scope.statement(ast.For(target, over, body, []))
        self.scope.chooser.left |= {name: each.after for name, each in head.loop.carried.items()}
        head.leave()

    def _condition(self, node: Choice, rows: Rows) -> None:
        self._flush()
        branches: list[list[ast.stmt]] = []
        for way, branch in ((True, node.then), (False, node.otherwise)):
            share = [(c, made) for c, made in rows if self.scope.file.builder.decide(node, c.values) is way]
            with self.scope.inner_statements() as body:
                if isinstance(branch, Splice):
                    self._items(self.shares.of(branch.items, share))
                self._flush()
            branches.append(body)
        test, (then, otherwise) = self.scope.condition(node), branches
        if not then:
            test, then, otherwise = ast.UnaryOp(ast.Not(), test), otherwise, []
        self.scope.statement(ast.If(test, then, otherwise))

    def _layer(self, node: LayerNode, label: NameTemplate | None, rows: Rows) -> None:
        pairs = layers(rows)
        if self.scope.branches.in_node(node, [case.values for case, _ in rows]):
            self._flush()
            self.layer_emitter.place(node, pairs, lambda made: self._added([made]))
            return
        with self.scope.inner_statements() as before:
            made = self.layer_emitter.emit(node, pairs)
        if before or isinstance(made, ast.IfExp):
            self._flush()
        for statement in before:
            self.scope.statement(statement)
        if isinstance(made, ast.IfExp):
            self.scope.put(made, lambda one: self._added([one]))
        else:
            self.pending.append(made)

    def _flush(self) -> None:
        """Write what is pending; the first time, make the list."""
        made, self.pending = self.pending, []
        if not self.begun:
            self.begun = True
            self.scope.file.names.used.add("nn")
            types = index(load_name("list"), dotted("nn.Module"))
            self.scope.statement(annotated(self.list.id, types, ast.List(made, ast.Load())))
        elif made:
            self.scope.statement(self._added(made))

    def _added(self, made: list[ast.expr]) -> ast.stmt:
        method = "append" if len(made) == 1 else "extend"
        value = made[0] if len(made) == 1 else ast.List(made, ast.Load())
        return _call_of(self.list, method, value)


class NamedListWriter(ListWriter):
    """Writes the statements that add layers to one that is there already: each under its name, or the next number."""

    def __init__(self, scope: ConstructorScope, layer_emitter: LayerEmitter, target: ast.Name) -> None:
        self.scope, self.layer_emitter, self.shares, self.list = scope, layer_emitter, Shares(scope), target
        self.again = 0
        """Items so far that run a layer again: they have positions, and add nothing."""
        self.given: str | None = None
        """The name of the item that is written: a number where the list runs layers of the block in front of it."""

    def write(self, shares: Iterable[Share]) -> ast.expr:
        """Add the layers, and return what they are added to."""
        self._items(shares)
        return self.list

    def _items(self, shares: Iterable[Share]) -> None:
        for share in shares:
            self.again += isinstance(share.item.node, Reuse)
            self.given = share.item.name
            super()._items([share])

    def _layer(self, node: LayerNode, label: NameTemplate | None, rows: Rows) -> None:
        key = self._template(label) if label is not None else self._key({made[0][0] for _, made in rows})
        self.layer_emitter.place(node, layers(rows), lambda made: self._named(key, made))

    def _template(self, label: NameTemplate) -> ast.expr:
        """Return `f"layer{index + 1}"`."""
        parts: list[ast.expr] = []
        for part in label.parts:
            if isinstance(part, str):
                parts.append(ast.Constant(part))
            else:
                parts.append(ast.FormattedValue(self.scope.translator.translate(part.tree), -1, None))
        return ast.JoinedStr(parts)

    def _key(self, names: set[str]) -> ast.expr | None:
        """Return the name of a layer; None for the number that `append` gives it."""
        name = names.pop() if len(names) == 1 else "0"
        if not name.isdigit() or name == self.given:
            return ast.Constant(name)
        if not self.again:
            return None
        return call("str", ast.BinOp(call("len", self.list), ast.Add(), ast.Constant(self.again)))

    def _named(self, key: ast.expr | None, made: ast.expr) -> ast.stmt:
        if key is None:
            return _call_of(self.list, "append", made)
        if self.list.id == "self" and isinstance(key, ast.Constant):
            return assign(own(str(key.value)), made)
        return _call_of(self.list, "add_module", key, made)

    def _flush(self) -> None:
        """Do nothing: each layer has a statement of its own."""


def _call_of(target: ast.expr, method: str, *arguments: ast.expr) -> ast.stmt:
    return ast.Expr(call(ast.Attribute(target, method, ast.Load()), *arguments))
