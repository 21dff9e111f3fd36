"""Small constructors of `ast` nodes, and the literals of plain values."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compiler.infer.values import Recipe


def name(text: str) -> ast.Name:
    return ast.Name(text, ast.Load())


def dotted(path: str) -> ast.expr:
    """Return `torch.nn.init` as an expression."""
    first, *rest = path.split(".")
    node: ast.expr = name(first)
    for part in rest:
        node = ast.Attribute(node, part, ast.Load())
    return node


def own(attribute: str) -> ast.Attribute:
    """Return `self.attribute`."""
    return ast.Attribute(name("self"), attribute, ast.Load())


def call(function: ast.expr | str, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    target = dotted(function) if isinstance(function, str) else function
    return ast.Call(target, list(args), [ast.keyword(key, value) for key, value in keywords.items()])


def renamed(source: str, title: str) -> ast.stmt:
    """Return the one class or function of a source, under another name."""
    (made,) = ast.parse(source).body
    assert isinstance(made, ast.ClassDef | ast.FunctionDef)
    made.name = title
    return made


def assign(target: ast.expr | str, value: ast.expr) -> ast.Assign:
    node: ast.expr = name(target) if isinstance(target, str) else target
    return ast.Assign([as_store(node)], value)


def annotated(title: str, annotation: ast.expr, value: ast.expr) -> ast.AnnAssign:
    """Return `title: annotation = value`."""
    return ast.AnnAssign(ast.Name(title, ast.Store()), annotation, value, 1)


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
    raise TypeError(type(node).__name__)


def index(value: ast.expr, at: ast.expr | int) -> ast.Subscript:
    return ast.Subscript(value, ast.Constant(at) if isinstance(at, int) else at, ast.Load())


def literal(value: Any) -> ast.expr:
    """Return the literal of a plain value."""
    match value:
        case bool() | None | str() | Recipe():  # a layer of which is asked no more than whether it is there
            return ast.Constant(value)  # type: ignore[arg-type]
        case int() | float():
            return _number(value)
        case list():
            return ast.List([literal(item) for item in value], ast.Load())
        case tuple():
            return ast.Tuple([literal(item) for item in value], ast.Load())
        case range():
            bounds = (value.start, value.stop) if value.start else (value.stop,)
            return call("range", *map(literal, bounds))
        case dict():
            return ast.Dict([literal(key) for key in value], [literal(item) for item in value.values()])
    text = str(value)
    if text.startswith("torch."):
        return dotted(text)
    raise TypeError(f"no literal for a {type(value).__name__}")


def _number(value: float) -> ast.expr:
    if isinstance(value, float) and math.isinf(value):
        inf = dotted("math.inf")
        return inf if value > 0 else ast.UnaryOp(ast.USub(), inf)
    if value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def function(
    title: str, arguments: ast.arguments, body: Sequence[ast.stmt], returns: ast.expr | None
) -> ast.FunctionDef:
    node = ast.FunctionDef(title, arguments, list(body), [], returns)
    if "type_params" in ast.FunctionDef._fields:
        node.type_params = []  # type: ignore[attr-defined]
    return node


def class_(title: str, base: str, doc: str | None, body: Sequence[ast.stmt]) -> ast.ClassDef:
    head = [ast.Expr(ast.Constant(doc))] if doc else []
    node = ast.ClassDef(title, [dotted(base)], [], [*head, *body] or [ast.Pass()], [])
    if "type_params" in ast.ClassDef._fields:
        node.type_params = []  # type: ignore[attr-defined]
    return node


def parameters(
    positional: Iterable[tuple[str, ast.expr | None, ast.expr | None]],
    keyword_only: Mapping[str, ast.expr | None] | None = None,
) -> ast.arguments:
    """Return the parameters of a method: (name, annotation, default) after `self`."""
    rows = list(positional)
    args = [ast.arg("self")] + [ast.arg(title, annotation) for title, annotation, _ in rows]
    first_default = next((at for at, row in enumerate(rows) if row[2] is not None), len(rows))
    required_after = [row for row in rows[first_default:] if row[2] is None]
    assert not required_after
    defaults = [row[2] for row in rows[first_default:] if row[2] is not None]
    only = keyword_only or {}
    return ast.arguments(
        [], args, None, [ast.arg(k, a) for k, a in only.items()], [None] * len(only), None, defaults
    )
