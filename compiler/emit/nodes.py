"""Layer positions as expressions that make the layer."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.layers import positional, torch_order
from compiler.emit.choose import Candidate, Case, Chooser, Loop
from compiler.emit.expressions import Translator
from compiler.emit.groups import ClassGroup
from compiler.emit.syntax import call, dotted, literal, name
from compiler.infer.arguments import evaluate_value
from compiler.infer.states import BlockState, Chain, Leaf, Operation, State
from compiler.infer.values import Recipe
from compiler.program import Call, Choice, Inline, Item, LayerNode, NameTemplate, Repeat, Reuse, ValueTree
from compiler.program import Sequence as SequenceNode
from spec_schema.clock import check_time
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression
from spec_schema.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from compiler.emit.module import ModuleEmitter

Pairs = list[tuple[Case, State]]
Rows = list[tuple[Case, list[tuple[str, State]]]]
"""The children that one item of a sequence made, in each instance."""


@dataclass(eq=False)
class NodeEmitter:
    """Emits the layers of one class."""

    module: ModuleEmitter
    group: ClassGroup
    translator: Translator
    chooser: Chooser
    expressions: list[Expression] = field(default_factory=list)
    """The expressions of the class's layers, which an inferred size may equal."""
    ctor_names: set[str] = field(default_factory=set)
    """Names that an expression of the constructor may read: arguments and variables of the block."""

    def emit(self, node: LayerNode, pairs: Pairs) -> ast.expr:
        """Return the expression that makes the layer of a node, in every instance."""
        check_time(node.span)
        match node:
            case Call():
                return self._call(node, pairs)
            case SequenceNode():
                return self._sequence(node, pairs)
            case Repeat():
                return self._repeat(node, pairs)
            case Choice():
                return self._choice(node, pairs)
            case Inline():
                return self._inline(node, pairs)
        raise AssertionError(node)

    # Calls.

    def _call(self, node: Call, pairs: Pairs) -> ast.expr:
        first = pairs[0][1]
        match first:
            case Leaf():
                return self._leaf(node, pairs)
            case BlockState():
                return self._block(node, pairs)
            case Operation():
                return self._operation(node, pairs)
        raise AssertionError(first)

    def _leaf(self, node: Call, pairs: Pairs) -> ast.expr:
        leaves: list[Leaf] = [state for _, state in pairs if isinstance(state, Leaf)]
        cases = [case for case, _ in pairs]
        layer = leaves[0].layer
        places = [each.name for each in positional(layer)]
        written: dict[str, ast.expr] = {}
        by_position: set[str] = set(leaves[0].inferred)
        arguments = node.arguments if node.kind == "layer" else ()
        for at, argument in enumerate(arguments):
            title = argument.name or places[at]
            if argument.name is None or _is_deferred(layer, title):
                by_position.add(title)
            written[title] = self._argument(argument.value, title, leaves, cases)
        if node.kind == "recipe":
            for title in leaves[0].values:
                written[title] = self._value([leaf.values[title] for leaf in leaves], cases, title, leaves)
            by_position |= set(places[:1]) if self._first_is_position(leaves[0]) else set()
        for title in leaves[0].inferred:
            written[title] = self.choose([leaf.inferred[title] for leaf in leaves], cases, title)
        return self._layer_call(leaves[0], written, by_position)

    def _first_is_position(self, leaf: Leaf) -> bool:
        return any(argument.name is None for argument in leaf.node.arguments)

    def _argument(
        self, value: ValueTree, title: str, leaves: Sequence[Leaf], cases: Sequence[Case]
    ) -> ast.expr:
        if title in leaves[0].nested or _reads_recipe(value, cases):
            return self._value([leaf.values[title] for leaf in leaves], cases, title, leaves)
        return self.expression(value)

    def _value(
        self, values: Sequence[Any], cases: Sequence[Case], title: str, leaves: Sequence[Leaf]
    ) -> ast.expr:
        """Return the expression of an argument that a recipe gives."""
        if title in leaves[0].nested:
            nested = [(case, leaf.nested[title]) for case, leaf in zip(cases, leaves, strict=True)]
            return self._leaf(replace(leaves[0].nested[title].node, kind="recipe"), list(nested))
        return self.choose(values, cases, title)

    def _layer_call(self, leaf: Leaf, written: Mapping[str, ast.expr], by_position: set[str]) -> ast.expr:
        """Write the arguments by position as far as an unbroken row of torch's order goes."""
        args: list[ast.expr] = []
        remaining = dict(written)
        for argument in torch_order(leaf.layer):
            if argument.name not in remaining or argument.name not in by_position:
                break
            args.append(remaining.pop(argument.name))
        return call(self.module.layer(leaf.layer), *args, **remaining)

    def _block(self, node: Call, pairs: Pairs) -> ast.expr:
        states = [state for _, state in pairs if isinstance(state, BlockState)]
        cases = [case for case, _ in pairs]
        group = self.module.group_of(states, node)
        parameters = [p.name for p in group.definition.parameters]
        args: list[ast.expr] = []
        keywords: dict[str, ast.expr] = {}
        if node.kind == "recipe":
            keywords = self._recipe_arguments(group, states, cases)
        for at, argument in enumerate(node.arguments if node.kind == "block" else ()):
            title = argument.name or parameters[at]
            if isinstance(states[0].arguments[title], Recipe):
                continue
            expression = self.expression(argument.value)
            if argument.name is None and not keywords and len(args) == self._place(group, states[0], title):
                args.append(expression)
            else:
                keywords[self._local(title)] = expression
        return call(name(group.title), *args, **keywords, **self._extras(group, states, cases))

    def _place(self, group: ClassGroup, state: BlockState, title: str) -> int:
        kept = [
            p.name for p in group.definition.parameters if not isinstance(state.arguments[p.name], Recipe)
        ]
        return kept.index(title)

    def _recipe_arguments(
        self, group: ClassGroup, states: Sequence[BlockState], cases: Sequence[Case]
    ) -> dict[str, ast.expr]:
        titles = [
            p.name for p in group.definition.parameters if not isinstance(states[0].arguments[p.name], Recipe)
        ]
        return {
            self._local(title): self.choose([s.arguments[title] for s in states], cases, title)
            for title in titles
        }

    def _extras(
        self, group: ClassGroup, states: Sequence[BlockState], cases: Sequence[Case]
    ) -> dict[str, ast.expr]:
        return {
            title: self.choose([values.get(state) for state in states], cases, title)
            for title, values in group.extras.items()
        }

    def _inline(self, node: Inline, pairs: Pairs) -> ast.expr:
        states = [state for _, state in pairs if isinstance(state, BlockState)]
        cases = [case for case, _ in pairs]
        group = self.module.group_of(states, node)
        args = [
            self.expression_of_name(title)
            for title in node.captured
            if not isinstance(states[0].arguments[title], Recipe)
        ]
        return call(name(group.title), *args, **self._extras(group, states, cases))

    def expression_of_name(self, title: str) -> ast.expr:
        return self.translator.translate(ast.Name(title, ast.Load()))

    def _operation(self, node: Call, pairs: Pairs) -> ast.expr:
        title = self.module.operation_class(pairs[0][1].name)  # type: ignore[union-attr]
        args = [self.expression(a.value) for a in node.arguments if a.name is None]
        keywords = {a.name: self.expression(a.value) for a in node.arguments if a.name is not None}
        return call(name(title), *args, **keywords)

    # Rows of layers.

    def _sequence(self, node: SequenceNode, pairs: Pairs) -> ast.expr:
        cls, keywords = self.module.sequential(node)
        return call(dotted(cls), *self.sequence_arguments(node.items, pairs), **keywords)

    def sequence_arguments(self, items: Sequence[Item], pairs: Pairs) -> list[ast.expr]:
        """Return the arguments of `nn.Sequential` for the items of a list."""
        rows = self._item_rows(items, pairs)
        if all(_numbered(children) for children in (_children(state) for _, state in pairs)) and not any(
            isinstance(item.node, Reuse) for item in items
        ):
            return [self._star(item, row) for item, row in rows]
        entries = [self._entry(item, row) for item, row in rows if row and not isinstance(item.node, Reuse)]
        self.module.names.used.add("OrderedDict")
        return [call("OrderedDict", ast.List(entries, ast.Load()))]

    def _item_rows(self, items: Sequence[Item], pairs: Pairs) -> list[tuple[Item, Rows]]:
        """Return, for each item, the children that it made in each instance."""
        rows = []
        positions = [0] * len(pairs)
        for item in items:
            row = []
            for at, (case, state) in enumerate(pairs):
                count = self._made(item, case)
                made = list(_children(state))[positions[at] : positions[at] + count]
                positions[at] += count
                row.append((case, made))
            rows.append((item, row))
        return rows

    def _made(self, item: Item, case: Case) -> int:
        if isinstance(item.node, Reuse):
            return 0
        if item.name is None and isinstance(item.node, Repeat):
            return len(self.module.builder.bindings(item.node, case.values))
        return 1

    def _star(self, item: Item, row: Rows) -> ast.expr:
        if item.name is None and isinstance(item.node, Repeat):
            return ast.Starred(self._copies(item.node, row, named=False), ast.Load())
        return self.emit(item.node, [(case, made[0][1]) for case, made in row])

    def _entry(self, item: Item, row: Rows) -> ast.expr:
        if item.name is None and isinstance(item.node, Repeat):
            return ast.Starred(self._copies(item.node, row, named=True), ast.Load())
        titles = [made[0][0] for _, made in row]
        title = self.choose(titles, [case for case, _ in row], "title")
        made_by = self.emit(item.node, [(case, made[0][1]) for case, made in row])
        return ast.Tuple([title, made_by], ast.Load())

    def _repeat(self, node: Repeat, pairs: Pairs) -> ast.expr:
        cls, keywords = self.module.sequential(node)
        sequential = dotted(cls)
        rows = [(case, list(_children(state))) for case, state in pairs]
        if node.label is None:
            return call(
                sequential, ast.Starred(self._copies(node, rows, named=False), ast.Load()), **keywords
            )
        self.module.names.used.add("OrderedDict")
        return call(sequential, call("OrderedDict", self._copies(node, rows, named=True)), **keywords)

    def _copies(self, node: Repeat, rows: Rows, named: bool) -> ast.expr:
        """Return a comprehension over the copies."""
        loop = self._loop_name(node)
        inner: Pairs = []
        for case, made in rows:
            bindings = self.module.builder.bindings(node, case.values)
            for at, ((_, state), bound) in enumerate(zip(made, bindings, strict=True)):
                inner.append((Case(case.state, {**case.values, **bound}, (*case.position, at)), state))
        if not inner:
            return ast.List([], ast.Load())
        before = dict(self.translator.renamed)
        self.translator.renamed = {
            **before,
            "index": name(loop),
            **{n: name(self._local(n)) for n in node.names},
        }
        counts = {len(made) for _, made in rows}
        self.chooser.loops.append(Loop(loop, counts.pop() if len(counts) == 1 else None))
        element = self.emit(node.of, inner)
        if named:
            element = ast.Tuple([self._title(node.label, rows, loop), element], ast.Load())
        columns = self.chooser.loops.pop().columns
        self.translator.renamed = before
        return ast.ListComp(element, [self._generator(node, element, loop, rows, columns)])

    def _loop_name(self, node: Repeat) -> str:
        depth = len(self.chooser.loops)
        wanted = "index" if not depth else f"index_{depth + 1}"
        while wanted in self.ctor_names or wanted in node.names:
            wanted += "_"
        return wanted

    def _local(self, title: str) -> str:
        return self.module.names.local(title)

    def _title(self, label: NameTemplate | None, rows: Rows, loop: str) -> ast.expr:
        if label is None:
            start = int(rows[0][1][0][0])
            number = name(loop) if not start else ast.BinOp(name(loop), ast.Add(), ast.Constant(start))
            return call("str", number)
        parts: list[ast.expr] = []
        for part in label.parts:
            if isinstance(part, str):
                parts.append(ast.Constant(part))
            else:
                parts.append(ast.FormattedValue(self.translator.translate(part.tree), -1, None))
        return ast.JoinedStr(parts)

    def _generator(
        self, node: Repeat, element: ast.expr, loop: str, rows: Rows, columns: Mapping[str, list[Any]]
    ) -> ast.comprehension:
        """Return `for index, (width, in_channels) in enumerate([...])`, with what the element needs of it."""
        over, titles = self._over(node, rows), [self._local(title) for title in node.names]
        if columns:
            read = any(isinstance(n, ast.Name) and n.id in titles for n in ast.walk(element))
            titles = titles if read else []
            over = self._with_columns(over, rows, len(titles), columns)
        targets: list[ast.expr] = [ast.Name(title, ast.Store()) for title in titles]
        if len(targets) > 1 and isinstance(over, ast.Call):  # rows, zipped with columns
            targets = [ast.Tuple(targets, ast.Store())]
        targets += [ast.Name(title, ast.Store()) for title in columns]
        reads_index = any(isinstance(n, ast.Name) and n.id == loop for n in ast.walk(element))
        counter = ast.Name(loop, ast.Store())
        if not targets:
            return ast.comprehension(
                counter if reads_index else ast.Name("_", ast.Store()), call("range", over), [], 0
            )
        row = targets[0] if len(targets) == 1 else ast.Tuple(targets, ast.Store())
        if not reads_index:
            return ast.comprehension(row, over, [], 0)
        return ast.comprehension(ast.Tuple([counter, row], ast.Store()), call("enumerate", over), [], 0)

    def _with_columns(
        self, over: ast.expr, rows: Rows, names: int, columns: Mapping[str, list[Any]]
    ) -> ast.expr:
        """Return the rows of a loop with more columns: as literals where the rows are literals, else zipped."""
        added = list(zip(*columns.values(), strict=True))
        if not names:
            return literal([row[0] if len(row) == 1 else row for row in added])
        try:
            written = ast.literal_eval(over)
        except ValueError:
            return call("zip", over, *map(literal, columns.values()), strict=ast.Constant(True))
        return literal(
            [(*(row if names > 1 else (row,)), *more) for row, more in zip(written, added, strict=True)]
        )

    def _over(self, node: Repeat, rows: Rows) -> ast.expr:
        """Return what a loop goes over: rows for the names of `as`, else the number of copies."""
        values = [evaluate_value(node.over, case.values, node.scope, DEFAULT_LIMITS) for case, _ in rows]
        expression = self.expression(node.over)
        if not node.names:
            return expression if isinstance(values[0], int) else call("len", expression)
        if isinstance(expression, ast.List) and all(value == values[0] for value in values):
            return literal([tuple(row) for row in values[0]] if len(node.names) > 1 else list(values[0]))
        return expression

    def _choice(self, node: Choice, pairs: Pairs) -> ast.expr:
        taken = [(case, state) for case, state in pairs if evaluate(node.condition, case.values)]
        other = [(case, state) for case, state in pairs if not evaluate(node.condition, case.values)]
        if not other:
            return self.emit(node.then, taken)
        if not taken:
            return self._otherwise(node, other)
        return ast.IfExp(
            self.expression(node.condition), self.emit(node.then, taken), self._otherwise(node, other)
        )

    def _otherwise(self, node: Choice, pairs: Pairs) -> ast.expr:
        if node.otherwise is None:
            return call(dotted(self.module.nn("Identity")))
        return self.emit(node.otherwise, pairs)

    # Values.

    def expression(self, value: ValueTree) -> ast.expr:
        """Return a compile-time value in the constructor's names."""
        if isinstance(value, Expression):
            return self.translator.translate(value.tree)
        return ast.List([self.expression(part) for part in value], ast.Load())

    def choose(self, values: Sequence[Any], cases: Sequence[Case], wanted: str) -> ast.expr:
        """Return the expression for values that inference found."""
        return self.chooser.choose(values, cases, self._candidates(cases), wanted)

    def _candidates(self, cases: Sequence[Case]) -> list[Candidate]:
        candidates = []
        for title in sorted(self.ctor_names):
            candidates.append(
                Candidate(self.expression_of_name(title), {id(c): c.values.get(title) for c in cases})
            )
        for expression in self.expressions:
            values = {id(c): _attempt(expression, c) for c in cases}
            if not isinstance(expression.tree, ast.Constant | ast.Name):
                candidates.append(Candidate(self.translator.translate(expression.tree), values))
        return candidates


def _attempt(expression: Expression, case: Case) -> object:
    from spec_schema.diagnostics import SpecError

    try:
        return evaluate(expression, case.values)
    except SpecError:
        return None


def _children(state: State) -> Any:
    if isinstance(state, Chain):
        return list(zip(state.names, state.states, strict=True))
    assert isinstance(state, BlockState)
    return list(state.children.items())


def _numbered(children: Sequence[tuple[str, State]]) -> bool:
    return [title for title, _ in children] == [str(at) for at in range(len(children))]


def _is_deferred(layer: LayerType, title: str) -> bool:
    """Say whether a spec can give an argument by name alone, since it follows from the input."""
    argument = layer.argument(title)
    return argument is not None and argument.deferred is not None


def _reads_recipe(value: ValueTree, cases: Sequence[Case]) -> bool:
    from compiler.resolve.values import free_names

    return any(isinstance(cases[0].values.get(title), Recipe) for title in free_names(value))
