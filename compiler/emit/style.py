"""The layout of emitted source: what a linter and a formatter leave unchanged."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Sequence
from functools import lru_cache

from compiler.emit.trees import copy_tree

LINE_LENGTH = 110
STANDARD_LIBRARY = ("collections", "collections.abc", "math", "typing")
REMEMBERED = 32
"""Formatting takes longer than all the rest of a small model's build."""
_EMPTY_FIRST_LINE = re.compile(r"^(class .*:\n)\n(?=    def )", re.MULTILINE)


def format_tree(tree: ast.Module) -> str:
    """Return the source of a tree, formatted."""
    return format_text(_EMPTY_FIRST_LINE.sub(r"\1", _source(tree)))


@lru_cache(REMEMBERED)
def format_text(text: str) -> str:
    """Return formatted source. A model that is loaded or placed again has the source that it had before."""
    import black
    from black.mode import TargetVersion

    return black.format_str(
        text, mode=black.Mode(target_versions={TargetVersion.PY311}, line_length=LINE_LENGTH)
    )


def _source(tree: ast.Module) -> str:
    """Return the source with an empty line between the groups of imports."""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    standard = [node for node in imports if _module(node) in STANDARD_LIBRARY]
    others = [node for node in imports if node not in standard]
    at = tree.body.index(imports[0]) if imports else 0
    head, rest = tree.body[:at], [node for node in tree.body[at:] if node not in imports]
    parts = [_unparse(part) for part in (head, standard, others, rest)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _module(node: ast.Import | ast.ImportFrom) -> str:
    return node.names[0].name if isinstance(node, ast.Import) else str(node.module)


def _unparse(body: Sequence[ast.stmt]) -> str:
    tree = _Powers().visit(copy_tree(ast.Module([_without_parentheses(node) for node in body], [])))
    return ast.unparse(ast.fix_missing_locations(tree)).strip("\n")


class _Powers(ast.NodeTransformer):
    """Writes `dim**-0.5` and `-(dim**2)`: `ast.unparse` has parentheses around the exponent alone."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if _is_power(node) and isinstance(node.right, ast.UnaryOp):
            node.right = ast.Name(ast.unparse(node.right), ast.Load())
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.BinOp) and _is_power(node.operand):
            node.operand = ast.Name(f"({ast.unparse(node.operand)})", ast.Load())
        return node


def _is_power(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.Pow)


def _without_parentheses(node: ast.stmt) -> ast.stmt:
    """Return a statement in which several values that are returned or assigned stand without parentheses."""
    made = copy.copy(node)
    match made:
        case ast.Return(value=ast.Tuple(elts=[_, _, *_] as values)):
            made.value = _bare(values)
        case ast.Assign(targets=[ast.Tuple()], value=ast.Tuple(elts=[_, _, *_] as values)):
            made.value = _bare(values)
    for part in ("body", "orelse"):
        if isinstance(inner := getattr(node, part, None), list):
            setattr(made, part, [_without_parentheses(each) for each in inner])
    return made


def _bare(values: Sequence[ast.expr]) -> ast.expr:
    """Return a row of values as it is written without parentheses, which `ast.unparse` never leaves out."""
    return ast.Name(", ".join(map(ast.unparse, values)), ast.Load())
