"""Layer positions as expressions that make the layer."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.layers import positional, torch_order
from compiler.emit.branches import Branches
from compiler.emit.choose import Candidate, Case, Chooser
from compiler.emit.dtypes import LayerDtypes
from compiler.emit.expressions import Translator
from compiler.emit.groups import ClassGroup
from compiler.emit.listing import LAYERS
from compiler.emit.loops import LoopHead
from compiler.emit.rows import RowEmitter
from compiler.emit.syntax import assign, call, dotted, name
from compiler.infer.states import BlockState, Leaf, Operation, State
from compiler.infer.values import holds_recipe
from compiler.program import Call, Choice, Inline, LayerNode, Repeat, Splice, ValueTree
from compiler.program import Sequence as SequenceNode
from compiler.resolve.values import free_names
from spec_schema.clock import check_time
from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import FUNCTIONS, evaluate
from spec_schema.grammar import Expression

if TYPE_CHECKING:
    import torch

    from compiler.emit.module import ModuleEmitter

Pairs = list[tuple[Case, State]]
Ways = list[tuple[LayerNode | None, Pairs]]
"""The branches of a condition that are taken, each with the instances that take it."""
WIDE = 90
"""Characters of a conditional expression, above which it is written as a statement."""


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
    sink: list[ast.stmt] | None = None
    """Where statements go that are needed first; None where there can be none."""
    hint: str = LAYERS
    """What a list of the layers at hand is called."""

    def __post_init__(self) -> None:
        self.branches = Branches(self.module.builder)
        self.visible: set[str] = set(self.ctor_names)
        self.rows = RowEmitter(self)
        self.open_loops: list[LoopHead] = []

    def emit(self, node: LayerNode, pairs: Pairs) -> ast.expr:
        """Return the expression that makes the layer of a node, in every instance."""
        check_time(node.span)
        match node:
            case Call():
                return self._call(node, pairs)
            case SequenceNode() | Repeat():
                return self.rows.sequence(node, pairs)
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
        dtypes = LayerDtypes(self.module, leaves)
        if dtypes.is_argument:
            written["dtype"] = self.dtype([leaf.dtype for leaf in leaves], cases)
        made = self._layer_call(leaves[0], written, by_position)
        return dtypes.converted(made, lambda: self.dtype([leaf.dtype for leaf in leaves], cases))

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
            if holds_recipe(states[0].arguments[title]):
                continue
            expression = self.expression(argument.value)
            if argument.name is None and not keywords and len(args) == self._place(group, states[0], title):
                args.append(expression)
            else:
                keywords[self.local(title)] = expression
        return call(name(group.title), *args, **keywords, **self._extras(group, states, cases))

    def _place(self, group: ClassGroup, state: BlockState, title: str) -> int:
        kept = [p.name for p in group.definition.parameters if not holds_recipe(state.arguments[p.name])]
        return kept.index(title)

    def _recipe_arguments(
        self, group: ClassGroup, states: Sequence[BlockState], cases: Sequence[Case]
    ) -> dict[str, ast.expr]:
        titles = [
            p.name for p in group.definition.parameters if not holds_recipe(states[0].arguments[p.name])
        ]
        return {
            self.local(title): self.choose([s.arguments[title] for s in states], cases, title)
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
            if not holds_recipe(states[0].arguments[title])
        ]
        return call(name(group.title), *args, **self._extras(group, states, cases))

    def expression_of_name(self, title: str) -> ast.expr:
        return self.translator.translate(ast.Name(title, ast.Load()))

    def _operation(self, node: Call, pairs: Pairs) -> ast.expr:
        first = pairs[0][1]
        assert isinstance(first, Operation)
        title = self.module.operation_class(first)
        args = [self.expression(a.value) for a in node.arguments if a.name is None]
        keywords = {a.name: self.expression(a.value) for a in node.arguments if a.name is not None}
        return call(name(title), *args, **keywords)

    # Conditions.

    def place(self, node: LayerNode, pairs: Pairs, put: Callable[[ast.expr], ast.stmt]) -> None:
        """Write the statements that make a layer; `put` says what becomes of it."""
        ways = self._ways(node, pairs) if isinstance(node, Choice) else []
        if len(ways) == 2:
            assert isinstance(node, Choice)
            if self.branches.in_node(node, [case.values for case, _ in pairs]):
                self.statement(self._if(node, ways, put))
                return
        made = self.emit(node, pairs)
        self.put(made, put)

    def put(self, made: ast.expr, put: Callable[[ast.expr], ast.stmt]) -> None:
        """Write the statement for a layer, or where it is one of two that are long, a condition with two."""
        if is_wide(made):
            self.statement(ast.If(made.test, [put(made.body)], [put(made.orelse)]))
        else:
            self.statement(put(made))

    def _if(self, node: Choice, ways: Ways, put: Callable[[ast.expr], ast.stmt]) -> ast.stmt:
        bodies: list[list[ast.stmt]] = []
        for branch, share in ways:
            with self.inner_statements() as body:
                if branch is None:
                    self.statement(put(self._identity()))
                else:
                    self.place(branch, share, put)
            bodies.append(body)
        return ast.If(self.expression(node.condition), bodies[0], bodies[1])

    def _ways(self, node: Choice, pairs: Pairs) -> Ways:
        """Return the branches that are taken, each with the instances that take it."""
        decide = self.module.builder.decide
        taken = [(case, state) for case, state in pairs if decide(node, case.values)]
        others = [(case, state) for case, state in pairs if not decide(node, case.values)]
        assert not isinstance(node.then, Splice)
        assert not isinstance(node.otherwise, Splice)
        both: Ways = [(node.then, taken), (node.otherwise, others)]
        return [(branch, share) for branch, share in both if share]

    def _choice(self, node: Choice, pairs: Pairs) -> ast.expr:
        ways = self._ways(node, pairs)
        if len(ways) == 1:
            return self._branch(*ways[0])
        if self.sink is not None and self.branches.in_node(node, [case.values for case, _ in pairs]):
            title = self.local_name("layer")
            self.statement(self._if(node, ways, lambda made: assign(title, made)))
            return name(title)
        return ast.IfExp(self.expression(node.condition), self._branch(*ways[0]), self._branch(*ways[1]))

    def _branch(self, node: LayerNode | None, pairs: Pairs) -> ast.expr:
        return self._identity() if node is None else self.emit(node, pairs)

    def _identity(self) -> ast.expr:
        return call(dotted(self.module.nn("Identity")))

    # Statements in front of what is emitted.

    def statement(self, statement: ast.stmt) -> None:
        """Write a statement of the constructor."""
        assert self.sink is not None
        self.sink.append(statement)

    @contextmanager
    def inner_statements(self) -> Iterator[list[ast.stmt]]:
        """Collect the statements that are written meanwhile."""
        before, self.sink = self.sink, []
        yield self.sink
        self.sink = before

    @contextmanager
    def without_statements(self) -> Iterator[None]:
        """Let nothing write statements: inside a comprehension there is no place for them."""
        before, self.sink = self.sink, None
        yield
        self.sink = before

    @contextmanager
    def fixed(self, values: Mapping[str, object]) -> Iterator[None]:
        """Write names as their values meanwhile."""
        translator, visible = self.translator, self.visible
        literals, renamed = translator.literals, translator.renamed
        translator.literals = {**literals, **values}
        translator.renamed = {title: new for title, new in renamed.items() if title not in values}
        self.visible = visible - values.keys()
        yield
        translator.literals, translator.renamed, self.visible = literals, renamed, visible

    @contextmanager
    def hinted(self, title: str | None) -> Iterator[None]:
        """Call a list that is made meanwhile by the name of its layer."""
        before, self.hint = self.hint, title if title and title.isidentifier() else LAYERS
        yield
        self.hint = before

    def local_name(self, wanted: str) -> str:
        """Return a new name for a local value of the constructor."""
        return self.chooser.fresh(self.local(wanted))

    def local(self, title: str) -> str:
        return self.module.names.in_constructor(title)

    # Values.

    def expression(self, value: ValueTree) -> ast.expr:
        """Return a compile-time value in the constructor's names."""
        if isinstance(value, Expression):
            return self.translator.translate(value.tree)
        return ast.List([self.expression(part) for part in value], ast.Load())

    def choose(self, values: Sequence[Any], cases: Sequence[Case], wanted: str) -> ast.expr:
        """Return the expression for values that inference found."""
        return self.chooser.choose(values, cases, self._candidates(cases), wanted)

    def dtype(self, dtypes: Sequence[torch.dtype], cases: Sequence[Case]) -> ast.expr:
        """Return the expression for a dtype that rules give."""
        self.module.names.used.add("torch")
        return self.choose(dtypes, cases, "dtype")

    def _candidates(self, cases: Sequence[Case]) -> list[Candidate]:
        candidates = []
        for title in sorted(self.visible - {"index"}):
            candidates.append(
                Candidate(self.expression_of_name(title), {id(c): c.values.get(title) for c in cases})
            )
        readable = {*self.visible, *self.translator.literals, *FUNCTIONS}
        for expression in self.expressions:
            if not free_names(expression) <= readable:
                continue
            values = {id(c): _attempt(expression, c) for c in cases}
            if not isinstance(expression.tree, ast.Constant | ast.Name):
                candidates.append(Candidate(self.translator.translate(expression.tree), values))
        return candidates


def is_wide(made: ast.expr) -> TypeGuard[ast.IfExp]:
    """Say whether a layer is one of two that hardly fit into a line."""
    return isinstance(made, ast.IfExp) and len(ast.unparse(made)) > WIDE


def _attempt(expression: Expression, case: Case) -> object:
    try:
        return evaluate(expression, case.values)
    except SpecError:
        return None


def _is_deferred(layer: LayerType, title: str) -> bool:
    """Say whether a spec can give an argument by name alone, since it follows from the input."""
    argument = layer.argument(title)
    return argument is not None and argument.deferred is not None


def _reads_recipe(value: ValueTree, cases: Sequence[Case]) -> bool:
    return any(holds_recipe(cases[0].values.get(title)) for title in free_names(value))
