"""What stands in a layer position: the forms of the language, with their names looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard, TypeVar

from compiler.program import (
    Call,
    Choice,
    Definition,
    Inline,
    Input,
    Item,
    LayerNode,
    NameTemplate,
    ParallelBody,
    Parameter,
    Repeat,
    ResidualBody,
    Reuse,
    Scope,
    SequenceBody,
    Splice,
)
from compiler.program import Sequence as SequenceOf
from compiler.resolve.borrow import Steps, borrows, split
from compiler.resolve.captures import captured_names
from compiler.resolve.copies import Copies, read_copies
from compiler.resolve.layer_calls import CallReader
from compiler.resolve.layer_names import TEMPLATE, check_layer_key, read_template
from compiler.resolve.values import check_names
from compiler.rule_records import Rules
from spec_schema import layer_nodes as form
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.grammar import parse_expression
from spec_schema.keys import called, key_place, name_place, split_key
from spec_schema.reader import Scalar
from spec_schema.source import Span

DEFAULT_INPUT = "x"
Read = TypeVar("Read")


@dataclass
class NodeReader:
    """Reads the nodes of one block. `values` are the compile-time names in scope, `layers` the named layers.

    Problems are collected, so that one block reports all of its errors.
    """

    scope: Scope
    values: set[str]
    layers: set[str]
    problems: list[Diagnostic] = field(default_factory=list)
    path: str = ""
    own: set[str] = field(default_factory=set)
    """Those of the values that belong to the block: they hide variables of the file that bear the same name."""
    borrowing: dict[str, Steps] = field(default_factory=dict)
    """The lists that run other layers of the block, with what they run."""

    def read(self, node: object) -> LayerNode | None:
        """Return the node, or None after noting what is wrong with it."""
        return self._noted(lambda: self._read(node))

    def _noted(self, read: Callable[[], Read]) -> Read | None:
        try:
            return read()
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None

    def _read(self, node: object) -> LayerNode:
        match node:
            case Scalar():
                return self._calls().read(parse_expression(node))
            case form.SequenceNode():
                return self._sequence(node)
            case form.Repeat():
                return self._repeat(node)
            case form.SplicedRepeat() | form.SplicedChoice():
                spliced = self._spliced(node)
                return SequenceOf((Item(None, spliced, spliced.span),), node.span)
            case form.Parallel():
                return self._parallel(node)
            case form.Residual():
                return self._residual(node)
            case form.Choice():
                return self._choice(node)
            case form.LongCall():
                return self._calls().read_long(node)
            case form.NamedItem():
                raise self._stray_name(node)
        raise AssertionError(node)

    def _calls(self) -> CallReader:
        return CallReader(self.scope, self.values, self.layers, self.problems)

    # Forms.

    def items(self, nodes: Sequence[object]) -> tuple[Item, ...]:
        """Read the items of a sequence. A name is in scope after its item."""
        before = set(self.layers)
        items = []
        seen: dict[str, Span] = {}
        for node in nodes:
            item = self._item(node, seen)
            if item is not None:
                items.append(item)
        self.layers = before
        keys = {called(node.name.text): split_key(node.name.text)[0] for node in nodes if _is_named(node)}
        return tuple(_by_key(item, keys) for item in items)

    def _item(self, node: object, seen: dict[str, Span]) -> Item | None:
        if isinstance(node, form.SplicedRepeat | form.SplicedChoice):
            spliced = self._noted(lambda: self._spliced(node))
            return None if spliced is None else Item(None, spliced, spliced.span)
        if not isinstance(node, form.NamedItem):
            read = self.read(node)
            return None if read is None else Item(None, read, read.span)
        if TEMPLATE.search(node.name.text):
            return self._labelled(node)
        key, _ = split_key(node.name.text)
        name, place = called(node.name.text), key_place(node.name)
        self.problems.extend(check_layer_key(key, place, "Sequential"))
        for each, at in {key: place, name: name_place(node.name)}.items():
            if each in seen:
                labels = (Label(seen[each], "the first one"),)
                self.problems.append(
                    Diagnostic("duplicate-name", f"two items are named `{each}`", at, labels=labels)
                )
            seen.setdefault(each, at)
        read = self.read(node.node)
        self.layers.add(name)
        return None if read is None else Item(key, read, place)

    def _labelled(self, node: form.NamedItem) -> Item | None:
        """Read an item whose name is a template."""
        label, read = self._noted(lambda: self._template(node.name)), self.read(node.node)
        return None if read is None or label is None else Item(None, read, node.name.span, label)

    def _template(self, scalar: Scalar) -> NameTemplate:
        label = read_template(scalar)
        for part in label.expressions:
            self.problems.extend(check_names(part, self.values, self.scope))
        return label

    def _sequence(self, node: form.SequenceNode) -> LayerNode:
        outside = set(self.layers)
        items = self.items(node.root)
        return self.sequence(items, outside, node.span)

    def named_layer(self, node: object) -> LayerNode | None:
        """Read what is a layer of a block under a name, and so no other layer of the block."""
        read = self.read(node)
        if not isinstance(read, Reuse):
            return read
        message = f"`{read.name}` is a layer of this block already"
        help = f"call `{read.name}` in the `forward` program, as often as you like"
        self.problems.append(Diagnostic("borrowed-layer", message, read.span, help=help))
        return None

    def layer_list(self, name: str, node: form.SequenceNode) -> LayerNode:
        """Read a list that is a named layer of a block, and so may run other layers of the block."""
        outside = set(self.layers)
        items = self.items(node.root)
        parts = split(items) if borrows(items) else None
        if parts is None:
            return self.sequence(items, outside, node.span)
        own, self.borrowing[name] = parts
        return SequenceOf(own, node.span)

    def sequence(self, items: tuple[Item, ...], outside: set[str], span: Span) -> LayerNode:
        """Return a sequence: a plain one, or a definition of its own when one of its layers runs again."""
        self._refuse_borrowed(items, outside)
        if not reuses(items):
            return SequenceOf(items, span)
        return self.inline(SequenceBody(items, True), "Sequence", span)

    def _refuse_borrowed(self, items: Iterable[Item], outside: set[str]) -> None:
        own = {item.name for item in items}
        for item in items:
            if isinstance(item.node, Reuse) and item.node.name in outside - own:
                self.problems.append(
                    Diagnostic(
                        "borrowed-layer",
                        f"`{item.node.name}` belongs to the block around this list",
                        item.node.span,
                        help="name the items as layers of the block and write its `forward`, "
                        "which can call one layer many times",
                    )
                )

    def _repeat(self, node: form.Repeat) -> LayerNode:
        copies, inner = self._copies(node)
        of = inner.read(node.of)
        label = inner._template(node.name) if node.name else None
        if of is None:
            raise SpecError([])
        return self._repeated(node, copies, of, label)

    def _repeated(
        self, node: form.Copies, copies: Copies, of: LayerNode | Splice, label: NameTemplate | None
    ) -> Repeat:
        names, index, running = copies.names, copies.index, copies.running
        return Repeat(copies.over, names, of, label, node.span, self.scope, index, running)

    def _copies(self, node: form.Copies) -> tuple[Copies, NodeReader]:
        """Return what a repeat goes over and binds, and the reader of what it holds."""
        copies = read_copies(
            node, lambda value, more: check_names(value, self.values.union(more), self.scope)
        )
        values, own = self.values | copies.bound, self.own | copies.bound
        return copies, replace(self, values=values, own=own, layers=set(), borrowing={})

    def _spliced(self, node: form.SplicedRepeat | form.SplicedChoice) -> Repeat | Choice:
        if isinstance(node, form.SplicedRepeat):
            copies, inner = self._copies(node)
            inner.layers = set(self.layers)
            return self._repeated(node, copies, inner._splice(node.splice), None)
        condition = parse_expression(node.if_)
        self.problems.extend(check_names(condition, self.values, self.scope))
        otherwise = self._splice(node.else_) if node.else_ is not None else None
        return Choice(condition, self._splice(node.splice), otherwise, node.span)

    def _splice(self, node: form.LayerNode) -> Splice:
        """Read a list whose items stand in the list around it; one node is a list of one item."""
        items = self.items(node.root if isinstance(node, form.SequenceNode) else [node])
        for item in items:
            if isinstance(item.node, Reuse):
                help = "write the list out, or a `forward` program, which can call one layer many times"
                raise refuse(
                    "borrowed-layer",
                    f"`{item.node.name}` cannot be used again inside a `splice`",
                    item.node.span,
                    help=help,
                )
        return Splice(items, node.span)

    def _residual(self, node: form.Residual) -> LayerNode:
        return self.inline(self.residual_body(node), "Residual", node.at("residual"))

    def residual_body(self, node: form.Residual) -> ResidualBody:
        inner = node.residual.root if isinstance(node.residual, form.SequenceNode) else [node.residual]
        outside = set(self.layers)
        items = self.items(inner)
        self._refuse_borrowed(items, outside)
        return ResidualBody(items, self._combine(node.combine) if node.combine else None)

    def _parallel(self, node: form.Parallel) -> LayerNode:
        return self.inline(self.parallel_body(node), "Parallel", node.span)

    def parallel_body(self, node: form.Parallel) -> ParallelBody:
        pairs: list[tuple[str | None, object]] = (
            [(None, branch) for branch in node.parallel]
            if isinstance(node.parallel, list)
            else [*node.parallel.items()]
        )
        keys = node.keys_of("parallel")
        branches = []
        outside, self.layers = self.layers, set()
        for name, branch in pairs:
            read = self.read(branch)
            if name is not None:
                self.problems.extend(check_layer_key(split_key(name)[0], key_place(keys[name]), "ModuleDict"))
            if read is not None:
                key = split_key(name)[0] if name is not None else None
                branches.append(Item(key, read, key_place(keys[name]) if name else read.span))
        self.layers = outside
        return ParallelBody(tuple(branches), self._combine(node.combine))

    def _combine(self, scalar: Scalar) -> Call:
        call = self._calls().read(parse_expression(scalar))
        if not (isinstance(call, Call) and call.kind == "operation"):
            raise refuse(
                "not-an-operation",
                "`combine` is an operation",
                scalar.span,
                help="write `cat(dim=1)`, `add` or `stack`",
            )
        return call

    def _choice(self, node: form.Choice) -> LayerNode:
        condition = parse_expression(node.if_)
        self.problems.extend(check_names(condition, self.values, self.scope))
        then = self.read(node.then)
        otherwise = self.read(node.else_) if node.else_ is not None else None
        for branch in (then, otherwise):
            if isinstance(branch, Reuse):
                raise refuse(
                    "borrowed-layer",
                    f"`{branch.name}` cannot be used again inside an `if`",
                    branch.span,
                    help="use it in a `forward` program, under `if ...:`",
                )
        if then is None:
            raise SpecError([])
        return Choice(condition, then, otherwise, node.span)

    def inline(self, body: SequenceBody | ResidualBody | ParallelBody, what: str, span: Span) -> Inline:
        """Return a definition written in place, closed over the compile-time names that it uses."""
        captured = tuple(sorted(captured_names(body) & self.own))
        parameters = tuple(Parameter(name, None, span) for name in captured)
        inputs = (Input(DEFAULT_INPUT, None, span),)
        definition = Definition(f"{self.path}{what}", parameters, {}, inputs, body, Rules(), self.scope, span)
        return Inline(definition, captured, span)

    def _stray_name(self, node: form.NamedItem) -> SpecError:
        return refuse(
            "not-a-layer",
            "a named item stands in a list only",
            node.name.span,
            help=f"write it as an item: `- {node.name.text}: ...`",
        )


def _is_named(node: object) -> TypeGuard[form.NamedItem]:
    return isinstance(node, form.NamedItem)


def _by_key(item: Item, keys: Mapping[str, str]) -> Item:
    """Return an item that runs another one of its list again by the key of that one."""
    if not isinstance(item.node, Reuse) or item.node.name not in keys:
        return item
    return replace(item, node=replace(item.node, name=keys[item.node.name]))


def reuses(items: Iterable[Item]) -> bool:
    """Return whether an item of a sequence is a layer that runs again."""
    return any(isinstance(item.node, Reuse) for item in items)
