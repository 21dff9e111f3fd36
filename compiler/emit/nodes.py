"""Layer positions as expressions that make the layer."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.layers import positional, torch_order
from compiler.emit.candidates import choose, choose_dtype
from compiler.emit.choose import Case
from compiler.emit.dtypes import LayerDtypes
from compiler.emit.layer_emitter import Pairs
from compiler.emit.operations import OperationEmitter
from compiler.emit.rows import RowEmitter
from compiler.emit.scope import ConstructorScope
from compiler.emit.stand_ins import stand_in
from compiler.emit.syntax import assign, call, dotted, load_name
from compiler.infer.states import BlockState, Leaf, Operation
from compiler.infer.values import holds_recipe
from compiler.placement.groups import ClassGroup
from compiler.program import Call, Choice, Inline, LayerNode, Repeat, Splice, ValueTree
from compiler.program import Sequence as SequenceNode
from compiler.resolve.values import free_names
from spec_schema.clock import check_time

Ways = list[tuple[LayerNode | None, Pairs]]
"""The branches of a condition that are taken, each with the instances that take it."""


class NodeEmitter:
    """Emits the layers of one class."""

    def __init__(self, scope: ConstructorScope, operations: OperationEmitter) -> None:
        self.scope, self.file, self.operations = scope, scope.file, operations
        self.rows = RowEmitter(scope, self)
        self.given: Mapping[str, ast.expr] = {}
        """What the names in the arguments of the call at hand are written as, where it stands for another one."""

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
        node = self._meant(node, pairs)
        match pairs[0][1]:
            case Leaf():
                return self._leaf(node, pairs)
            case BlockState():
                return self._block(node, pairs)
            case Operation():
                return self._operation(node, pairs)
            case other:
                raise AssertionError(other)

    def _meant(self, node: Call, pairs: Pairs) -> Call:
        """Return the call that is written for one, and note what the names in its arguments are written as."""
        meant = stand_in(node, self.scope, pairs[0][0].values)
        self.given = meant.renamed
        return meant.call

    def base(self, node: LayerNode, pairs: Pairs) -> tuple[str, ast.Call, ast.expr | None]:
        """Return the class of what is extended, the call that makes it, and what converts it to its dtype."""
        assert isinstance(node, Call)
        leaves = [state for _, state in pairs if isinstance(state, Leaf)]
        if not leaves:
            made = self._call(node, pairs)
            assert isinstance(made, ast.Call)
            return ast.unparse(made.func), made, None
        node = self._meant(node, pairs)
        made, itself = self._made(node, pairs), load_name("self")
        converted = self._converted(itself, leaves, [case for case, _ in pairs])
        return ast.unparse(made.func), made, None if converted is itself else converted

    def _leaf(self, node: Call, pairs: Pairs) -> ast.expr:
        leaves = [state for _, state in pairs if isinstance(state, Leaf)]
        return self._converted(self._made(node, pairs), leaves, [case for case, _ in pairs])

    def _converted(self, made: ast.expr, leaves: Sequence[Leaf], cases: Sequence[Case]) -> ast.expr:
        return LayerDtypes(leaves).converted(
            made,
            lambda: choose_dtype(self.scope, [leaf.dtype for leaf in leaves], cases),
            self.file.converting,
        )

    def _made(self, node: Call, pairs: Pairs) -> ast.Call:
        """Return the call that makes a layer of the catalogue, which may not be of its dtype yet."""
        leaves: list[Leaf] = [state for _, state in pairs if isinstance(state, Leaf)]
        cases = [case for case, _ in pairs]
        layer = leaves[0].layer
        places = [each.name for each in positional(layer)]
        written: dict[str, ast.expr] = {}
        by_position: set[str] = set(leaves[0].inferred)
        arguments = node.arguments if node.kind == "layer" else ()
        for at, argument in enumerate(arguments):
            name = argument.name or places[at]
            if argument.name is None or _is_deferred(layer, name):
                by_position.add(name)
            written[name] = self._argument(argument.value, name, leaves, cases)
        if node.kind == "recipe":
            for name in leaves[0].values:
                written[name] = self._value([leaf.values[name] for leaf in leaves], cases, name, leaves)
            by_position |= set(places[:1]) if self._first_is_position(leaves[0]) else set()
        for name in leaves[0].inferred:
            written[name] = choose(self.scope, [leaf.inferred[name] for leaf in leaves], cases, name)
        if LayerDtypes(leaves).is_argument:
            written["dtype"] = choose_dtype(self.scope, [leaf.dtype for leaf in leaves], cases)
        return self._layer_call(leaves[0], written, by_position)

    def _first_is_position(self, leaf: Leaf) -> bool:
        return any(argument.name is None for argument in leaf.node.arguments)

    def _argument(
        self, value: ValueTree, name: str, leaves: Sequence[Leaf], cases: Sequence[Case]
    ) -> ast.expr:
        if name in leaves[0].nested or _reads_recipe(value, cases):
            return self._value([leaf.values[name] for leaf in leaves], cases, name, leaves)
        return self._written(value)

    def _written(self, value: ValueTree) -> ast.expr:
        """Return an argument of the call at hand."""
        with self.scope.renaming(self.given):
            return self.scope.expression(value)

    def _value(
        self, values: Sequence[Any], cases: Sequence[Case], name: str, leaves: Sequence[Leaf]
    ) -> ast.expr:
        """Return the expression of an argument that a recipe gives."""
        if name in leaves[0].nested:
            nested = [(case, leaf.nested[name]) for case, leaf in zip(cases, leaves, strict=True)]
            return self._leaf(replace(leaves[0].nested[name].node, kind="recipe"), list(nested))
        return choose(self.scope, values, cases, name)

    def _layer_call(self, leaf: Leaf, written: Mapping[str, ast.expr], by_position: set[str]) -> ast.Call:
        """Write the arguments by position as far as an unbroken row of torch's order goes."""
        args: list[ast.expr] = []
        remaining = dict(written)
        for argument in torch_order(leaf.layer):
            if argument.name not in remaining or argument.name not in by_position:
                break
            args.append(remaining.pop(argument.name))
        return call(self.file.layer(leaf.layer), *args, **remaining)

    def _block(self, node: Call, pairs: Pairs) -> ast.expr:
        states = [state for _, state in pairs if isinstance(state, BlockState)]
        cases = [case for case, _ in pairs]
        group = self.file.group_of(states, node)
        parameters = [p.name for p in group.definition.parameters]
        args: list[ast.expr] = []
        keywords: dict[str, ast.expr] = {}
        if node.kind == "recipe":
            keywords = self._recipe_arguments(group, states, cases)
        for at, argument in enumerate(node.arguments if node.kind == "block" else ()):
            name = argument.name or parameters[at]
            if holds_recipe(states[0].arguments[name]):
                continue
            expression = self._written(argument.value)
            if argument.name is None and not keywords and len(args) == self._place(group, states[0], name):
                args.append(expression)
            else:
                keywords[self.scope.local(name)] = expression
        return call(load_name(group.name), *args, **keywords, **self._extras(group, states, cases))

    def _place(self, group: ClassGroup, state: BlockState, name: str) -> int:
        kept = [p.name for p in group.definition.parameters if not holds_recipe(state.arguments[p.name])]
        return kept.index(name)

    def _recipe_arguments(
        self, group: ClassGroup, states: Sequence[BlockState], cases: Sequence[Case]
    ) -> dict[str, ast.expr]:
        names = [p.name for p in group.definition.parameters if not holds_recipe(states[0].arguments[p.name])]
        return {
            self.scope.local(name): choose(self.scope, [s.arguments[name] for s in states], cases, name)
            for name in names
        }

    def _extras(
        self, group: ClassGroup, states: Sequence[BlockState], cases: Sequence[Case]
    ) -> dict[str, ast.expr]:
        extras = {
            name: choose(self.scope, [values.get(state) for state in states], cases, name)
            for name, values in group.extras.items()
        }
        return extras | {local: self.scope.variable(name) for name, local in group.variables.items()}

    def _inline(self, node: Inline, pairs: Pairs) -> ast.expr:
        states = [state for _, state in pairs if isinstance(state, BlockState)]
        cases = [case for case, _ in pairs]
        group = self.file.group_of(states, node)
        args = [
            self.scope.expression_of_name(name)
            for name in node.captured
            if not holds_recipe(states[0].arguments[name])
        ]
        return call(load_name(group.name), *args, **self._extras(group, states, cases))

    def _operation(self, node: Call, pairs: Pairs) -> ast.expr:
        states = [state for _, state in pairs if isinstance(state, Operation)]
        args = [self.scope.expression(a.value) for a in node.arguments if a.name is None]
        keywords = {a.name: self.scope.expression(a.value) for a in node.arguments if a.name is not None}
        return self.operations.layer(states, args, keywords)

    # Conditions.

    def place(self, node: LayerNode, pairs: Pairs, put: Callable[[ast.expr], ast.stmt]) -> None:
        """Write the statements that make a layer; `put` says what becomes of it."""
        ways = self._ways(node, pairs) if isinstance(node, Choice) else []
        if len(ways) == 2:
            assert isinstance(node, Choice)
            if self.scope.branches.in_node(node, [case.values for case, _ in pairs]):
                self.scope.statement(self._if(node, ways, put))
                return
        made = self.emit(node, pairs)
        self.scope.put(made, put)

    def _if(self, node: Choice, ways: Ways, put: Callable[[ast.expr], ast.stmt]) -> ast.stmt:
        bodies: list[list[ast.stmt]] = []
        for branch, share in ways:
            with self.scope.inner_statements() as body:
                if branch is None:
                    self.scope.statement(put(self._identity()))
                else:
                    self.place(branch, share, put)
            bodies.append(body)
        return ast.If(self.scope.condition(node), bodies[0], bodies[1])

    def _ways(self, node: Choice, pairs: Pairs) -> Ways:
        """Return the branches that are taken, each with the instances that take it."""
        decide = self.file.builder.decide
        taken = [(case, state) for case, state in pairs if decide(node, case.values)]
        others = [(case, state) for case, state in pairs if not decide(node, case.values)]
        if not others and self.scope.may_turn(node, [case.values for case, _ in pairs]):
            assert not isinstance(node.then, Splice)
            return [(node.then, taken), (None, [])]
        if not (taken and others):
            self.file.runs.check_one_sided(free_names(node.condition), [case for case, _ in pairs])
        assert not isinstance(node.then, Splice)
        assert not isinstance(node.otherwise, Splice)
        both: Ways = [(node.then, taken), (node.otherwise, others)]
        return [(branch, share) for branch, share in both if share]

    def _choice(self, node: Choice, pairs: Pairs) -> ast.expr:
        ways = self._ways(node, pairs)
        if len(ways) == 1:
            return self._branch(*ways[0])
        if self.scope.sink is not None and self.scope.branches.in_node(
            node, [case.values for case, _ in pairs]
        ):
            name = self.scope.local_name("layer")
            self.scope.statement(self._if(node, ways, lambda made: assign(name, made)))
            return load_name(name)
        return ast.IfExp(self.scope.condition(node), self._branch(*ways[0]), self._branch(*ways[1]))

    def _branch(self, node: LayerNode | None, pairs: Pairs) -> ast.expr:
        return self._identity() if node is None else self.emit(node, pairs)

    def _identity(self) -> ast.expr:
        return call(dotted(self.file.nn("Identity")))


def _is_deferred(layer: LayerType, name: str) -> bool:
    """Say whether a spec can give an argument by name alone, since it follows from the input."""
    argument = layer.argument(name)
    return argument is not None and argument.deferred is not None


def _reads_recipe(value: ValueTree, cases: Sequence[Case]) -> bool:
    return any(holds_recipe(cases[0].values.get(name)) for name in free_names(value))
