"""Small constructors of `ast` nodes, and the literals of numbers."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence

RESET = "reset_parameters"
"""The method that gives a class its first values, as torch's layers call it."""


def load_name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


def dotted(path: str) -> ast.expr:
    """Return `torch.nn.init` as an expression."""
    first, *rest = path.split(".")
    node: ast.expr = load_name(first)
    for part in rest:
        node = ast.Attribute(node, part, ast.Load())
    return node


def own(attribute: str) -> ast.Attribute:
    """Return `self.attribute`."""
    return ast.Attribute(load_name("self"), attribute, ast.Load())


def inherited(method: str, *arguments: ast.expr) -> ast.Attribute:
    """Return `super().method`; `super` needs arguments in a comprehension, which is a function of its own."""
    return ast.Attribute(call("super", *arguments), method, ast.Load())


def call(function: ast.expr | str, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    target = dotted(function) if isinstance(function, str) else function
    return ast.Call(target, list(args), [ast.keyword(key, value) for key, value in keywords.items()])


def renamed(source: str, name: str) -> ast.stmt:
    """Return the one class or function of a source, under another name."""
    (made,) = ast.parse(source).body
    assert isinstance(made, ast.ClassDef | ast.FunctionDef)
    made.name = name
    return made


def assign(target: ast.expr | str, value: ast.expr) -> ast.Assign:
    node: ast.expr = load_name(target) if isinstance(target, str) else target
    return ast.Assign([as_store(node)], value)


def annotated(name: str, annotation: ast.expr, value: ast.expr) -> ast.AnnAssign:
    """Return `name: annotation = value`."""
    return ast.AnnAssign(ast.Name(name, ast.Store()), annotation, value, 1)


def as_store(node: ast.expr) -> ast.expr:
    """Return a target for an assignment."""
    match node:
        case ast.Name():
            return ast.Name(node.id, ast.Store())
        case ast.Attribute():
            return ast.Attribute(node.value, node.attr, ast.Store())
        case ast.Subscript():
            return ast.Subscript(node.value, node.slice, ast.Store())
        case ast.Tuple():
            return ast.Tuple([as_store(part) for part in node.elts], ast.Store())
        case ast.Starred():
            return ast.Starred(as_store(node.value), ast.Store())
    raise TypeError(type(node).__name__)


def index(value: ast.expr, at: ast.expr | int) -> ast.Subscript:
    return ast.Subscript(value, ast.Constant(at) if isinstance(at, int) else at, ast.Load())


def number(value: float) -> ast.expr:
    """Return the literal of a number."""
    if isinstance(value, float) and math.isinf(value):
        inf = dotted("math.inf")
        return inf if value > 0 else ast.UnaryOp(ast.USub(), inf)
    if value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def function(
    name: str, arguments: ast.arguments, body: Sequence[ast.stmt], returns: ast.expr | None
) -> ast.FunctionDef:
    node = ast.FunctionDef(name, arguments, list(body), [], returns)
    if "type_params" in ast.FunctionDef._fields:
        node.type_params = []  # type: ignore[attr-defined]
    return node


def class_(name: str, base: str, doc: str | None, body: Sequence[ast.stmt]) -> ast.ClassDef:
    head = [ast.Expr(ast.Constant(doc))] if doc else []
    node = ast.ClassDef(name, [dotted(base)], [], [*head, *body] or [ast.Pass()], [])
    if "type_params" in ast.ClassDef._fields:
        node.type_params = []  # type: ignore[attr-defined]
    return node


def parameters(
    positional: Iterable[tuple[str, ast.expr | None, ast.expr | None]],
    keyword_only: Mapping[str, ast.expr | None] | None = None,
) -> ast.arguments:
    """Return the parameters of a method: (name, annotation, default) after `self`."""
    rows = list(positional)
    args = [ast.arg("self")] + [ast.arg(name, annotation) for name, annotation, _ in rows]
    first_default = next((at for at, row in enumerate(rows) if row[2] is not None), len(rows))
    required_after = [row for row in rows[first_default:] if row[2] is None]
    assert not required_after
    defaults = [row[2] for row in rows[first_default:] if row[2] is not None]
    only = keyword_only or {}
    return ast.arguments(
        [], args, None, [ast.arg(k, a) for k, a in only.items()], [None] * len(only), None, defaults
    )
