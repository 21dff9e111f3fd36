"""Compile-time values as they are written: expressions, lists of them, and the names that they may use."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from compiler.catalogue.layers import layer_names
from compiler.catalogue.operation_table import CONSTANTS
from compiler.program import Argument, Scope, ValueTree
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, refuse
from spec_schema.evaluate import FUNCTIONS
from spec_schema.grammar import Expression, parse_expression
from spec_schema.layer_nodes import LongCall
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import PYTHON_WORDS, unknown_value
from spec_schema.walk import walk


def read_value(node: Node) -> ValueTree:
    """Read a scalar as an expression, and a list as a list of values.

    Raises:
        SpecError: the value is a mapping, or a text is no expression.
    """
    if isinstance(node, Scalar):
        return parse_expression(node)
    if isinstance(node, Items):
        return tuple(read_value(item) for item in node)
    raise refuse("wrong-type", "a value or a list of values is expected here", node.span)


def read_arguments(expression: Expression, call: ast.Call | None) -> tuple[Argument, ...]:
    """Return the arguments of a call expression."""
    if call is None:
        return ()
    positional = [Argument(None, expression.part(a), expression.span(a)) for a in call.args]
    named = [
        Argument(k.arg, expression.part(k.value), expression.span(k.value), expression.span(k))
        for k in call.keywords
    ]
    return (*positional, *named)


def read_long_arguments(call: LongCall) -> tuple[Argument, ...]:
    """Read the keys of `{layer: Conv2d, out_channels: 64, kernel_size: "${k}"}` as arguments."""
    keys = call.keys_at()
    return tuple(
        Argument(key, _long_value(value), value.span, keys[key].span)
        for key, value in call.arguments().items()
    )


def _long_value(node: Node) -> ValueTree:
    if isinstance(node, Items):
        return tuple(_long_value(item) for item in node)
    if isinstance(node, Entries):
        raise refuse("wrong-type", "an argument is a value or a list of values", node.span)
    if isinstance(node.value, str):
        if node.text.startswith("${") and node.text.endswith("}"):
            return parse_expression(node, 2, len(node.text) - 1)
        return Expression(
            node,
            node.text,
            0,
            ast.Constant(node.value, lineno=1, col_offset=0, end_lineno=1, end_col_offset=len(node.text)),
        )
    return parse_expression(node)


def expressions_of(value: ValueTree) -> Iterable[Expression]:
    """Yield the expressions of a value."""
    if isinstance(value, Expression):
        yield value
    else:
        for part in value:
            yield from expressions_of(part)


def text_of(value: ValueTree) -> str:
    """Return a value as it is written."""
    return str(value) if isinstance(value, Expression) else f"[{', '.join(map(text_of, value))}]"


def place_of(value: ValueTree) -> Span | None:
    """Return where a value stands; None for an empty list."""
    parts = list(expressions_of(value))
    return Span(parts[0].place.file, parts[0].place.start, parts[-1].place.end) if parts else None


def free_names(value: ValueTree) -> set[str]:
    """Return the names that a value reads from its surroundings."""
    found: set[str] = set()
    for expression in expressions_of(value):
        found |= set(_free(expression.tree))
    return found


@lru_cache(maxsize=4096)
def _free(tree: ast.AST) -> Mapping[str, ast.Name]:
    """Return the free names of an expression, each with its first use; comprehension targets are not free."""
    found: dict[str, ast.Name] = {}
    for name in sorted(_loads(tree, frozenset()), key=lambda n: (n.lineno, n.col_offset)):
        found.setdefault(name.id, name)
    return found


def _loads(node: ast.AST, bound: frozenset[str]) -> Iterator[ast.Name]:
    """Yield the names that a node reads from around it.

    A comprehension binds names of its own, which the first list that it goes over does not see.
    """
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load) and node.id not in bound:
            yield node
    elif isinstance(node, ast.ListComp):
        for each in node.generators:
            yield from _loads(each.iter, bound)
            bound |= {n.id for n in walk(each.target) if isinstance(n, ast.Name)}
            for test in each.ifs:
                yield from _loads(test, bound)
        yield from _loads(node.elt, bound)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _loads(child, bound)


def check_names(value: ValueTree, known: Iterable[str], scope: Scope) -> list[Diagnostic]:
    """Return a diagnostic for each name in a value that means nothing at compile time."""
    known = set(known)
    problems = []
    for expression in expressions_of(value):
        check_time(expression.scalar.span)
        for name, node in _free(expression.tree).items():
            if name in known or name in FUNCTIONS or name in CONSTANTS or is_type(name, scope):
                continue
            problems.append(_unknown(expression, node, known, scope))
    return problems


def is_type(name: str, scope: Scope) -> bool:
    """Return whether a name is a block, or a layer of the catalogue or of a plugin."""
    return name in scope.block_names or name in scope.plugins.layers or name in layer_names()


def _unknown(expression: Expression, node: ast.Name, known: set[str], scope: Scope) -> Diagnostic:
    if node.id[:1].isupper() and node.id.lower() not in PYTHON_WORDS:
        return unknown_type(node.id, expression, node, scope)
    return unknown_value(expression, node, known, FUNCTIONS)


def unknown_type(name: str, expression: Expression, node: ast.AST, scope: Scope) -> Diagnostic:
    """Return the diagnostic for an unknown layer type."""
    near = did_you_mean(
        name.removeprefix("Lazy"), [*scope.block_names, *scope.plugins.layers, *layer_names()]
    )
    if name.removeprefix("Lazy") in layer_names():
        near = name.removeprefix("Lazy")
    return Diagnostic(
        "unknown-layer",
        f"there is no layer or block `{name}`",
        expression.span(node),
        help=_stored_by(name, scope)
        or _ELSEWHERE.get(name)
        or (f"did you mean `{near}`?" if near else _LISTS),
    )


def _stored_by(name: str, scope: Scope) -> str | None:
    """Return how a parametrisation of a plugin is used, None if the name is none."""
    return _ruled(name) if name in scope.plugins.parametrizations else None


def _ruled(name: str) -> str:
    return f"a rule says which weights: `parametrize: [{{Linear.weight: {name}}}]`"


def changes_a_layer(name: str, place: Span) -> Diagnostic:
    """Return the diagnostic for a parametrisation of torch where a layer or an operation is expected."""
    return Diagnostic("unknown-operation", f"`{name}` changes a layer, and is none", place, help=_ruled(name))


_LISTS = "`python -m compiler layers` lists the layers; a block is defined under `blocks:`"
_ELSEWHERE = {
    "Sequential": "a list of layers is a sequence: `[Linear(8), ReLU]`",
    "ModuleList": "`repeat` makes copies: `{repeat: 3, of: Linear(8)}`",
    "ModuleDict": "layers are named under `layers:`",
    "Parameter": "a block has its own under `parameters:`",
    "Buffer": "a block has its own under `buffers:`",
    "Lambda": "write the operation itself, such as `flatten(1)`, or a block without layers",
    "Dense": "did you mean `Linear`?",
}
"""What the language has for some layers of torch and of other libraries."""
