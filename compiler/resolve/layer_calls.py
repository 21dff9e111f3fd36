"""Calls in layer positions: what a name stands for there, and the arguments that it gets."""

from __future__ import annotations

import ast
from collections.abc import Set
from dataclasses import dataclass, replace

from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operation_table import METHODS
from compiler.catalogue.parametrization_table import PARAMETRIZATIONS
from compiler.program import Call, CallKind, Reuse, Scope
from compiler.resolve.values import (
    changes_a_layer,
    check_names,
    is_type,
    read_arguments,
    read_long_arguments,
    unknown_type,
)
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.grammar import Expression, parse_expression
from spec_schema.layer_nodes import LongCall
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean


@dataclass(frozen=True)
class CallReader:
    """Reads calls. `values` are the compile-time names in scope, `layers` the layers that can be named again.

    What is wrong with arguments is noted in `problems`; a name that means nothing is raised.
    """

    scope: Scope
    values: Set[str]
    layers: Set[str]
    problems: list[Diagnostic]

    def read(self, expression: Expression) -> Call | Reuse:
        """Read `Linear(3 * dim)`, `ReLU`, `flatten(1)` or the name of a layer."""
        tree = expression.tree
        function, written = (tree.func, tree) if isinstance(tree, ast.Call) else (tree, None)
        name = _dotted(function)
        if name is not None and name.count(".") > 1:
            raise SpecError([self._unknown_operation(name, expression.span(function))])
        if name is None:
            raise refuse(
                "not-a-layer",
                "this is not a layer",
                expression.place,
                help="write a layer, a block or an operation: `Linear(10)`, `ReLU`, `flatten(1)`",
            )
        place = expression.span(function)
        if written is None and name in self.layers:
            return Reuse(name, place)
        if (
            written is not None
            and name in self.layers
            and name not in OPERATIONS
            and not is_type(name, self.scope)
        ):
            raise refuse(
                "not-a-layer",
                f"`{name}` is a layer already: its arguments are given where it is named",
                place,
                help=f"write `{name}` to use it again",
            )
        kind = self._kind(name, expression, function)
        arguments = read_arguments(expression, written)
        for argument in arguments:
            self.problems.extend(check_names(argument.value, self.values, self.scope))
        return Call(kind, name, arguments, expression.place, place, self.scope)

    def _kind(self, name: str, expression: Expression, function: ast.AST) -> CallKind:
        if name in self.values:
            return "recipe"
        if name in self.scope.block_names:
            return "block"
        if name in self.scope.plugins.layers or is_type(name, self.scope):
            return "layer"
        if name in OPERATIONS or name in self.scope.plugins.operations or name in METHODS:
            return "operation"
        if name[:1].isupper() and "." not in name:
            raise SpecError([unknown_type(name, expression, function, self.scope)])
        raise SpecError([self._unknown_operation(name, expression.span(function))])

    def _unknown_operation(self, name: str, place: Span) -> Diagnostic:
        last = name.rpartition(".")[2]
        if last != name and (is_type(last, self.scope) or last in OPERATIONS):
            help = f"write `{last}`: it has no prefix here"
            return Diagnostic(
                "unknown-operation", f"there is no layer or operation `{name}`", place, help=help
            )
        if last in PARAMETRIZATIONS:
            return changes_a_layer(last, place)
        candidates = [*self.layers, *OPERATIONS, *self.scope.plugins.operations]
        near = did_you_mean(name, candidates)
        as_type = did_you_mean(name[:1].upper() + name[1:], [*self.scope.block_names])
        help_text = f"did you mean `{near or as_type}`?" if near or as_type else None
        return Diagnostic(
            "unknown-operation", f"there is no layer or operation `{name}` here", place, help=help_text
        )

    def read_long(self, node: LongCall) -> Call:
        """Read `{layer: Conv2d, out_channels: 64}`."""
        bare = self.read(parse_expression(node.layer))
        if not isinstance(bare, Call):
            raise refuse("not-a-layer", f"`{node.layer.text}` is a layer already", node.layer.span)
        arguments = read_long_arguments(node)
        for argument in arguments:
            self.problems.extend(check_names(argument.value, self.values, self.scope))
        return replace(bare, arguments=arguments, span=node.span)


def _dotted(node: ast.AST) -> str | None:
    """Return `relu` or `fft.rfft` of a name or a dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return owner and f"{owner}.{node.attr}"
    return None
