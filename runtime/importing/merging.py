"""Statements that may stand in one."""

from __future__ import annotations

import ast

LONGEST = 88


def merged(statements: list[ast.stmt]) -> list[ast.stmt]:
    """Return statements in which `x = a(x)` and `x = b(x)` in a row are `x = b(a(x))` where that is short."""
    found: list[ast.stmt] = []
    for statement in statements:
        joined = _joined(found[-1], statement) if found else None
        if joined is not None:
            found[-1] = joined
        else:
            found.append(statement)
    return found


def _joined(first: ast.stmt, second: ast.stmt) -> ast.stmt | None:
    if not isinstance(first, ast.Assign) or not isinstance(first.targets[0], ast.Name):
        return None
    name = first.targets[0].id
    again = isinstance(second, ast.Assign) and ast.dump(second.targets[0]) == ast.dump(first.targets[0])
    if not (again or isinstance(second, ast.Return)):
        return None
    assert isinstance(second, ast.Assign | ast.Return)
    loads = [
        each for each in ast.walk(second.value or second) if isinstance(each, ast.Name) and each.id == name
    ]
    if len(loads) != 1 or not _is_simple(first.value, second):
        return None
    value = _Substitution(name, first.value).visit(
        ast.parse(ast.unparse(second.value or second), mode="eval").body
    )
    made = ast.Assign(second.targets, value) if isinstance(second, ast.Assign) else ast.Return(value)
    text = ast.unparse(ast.fix_missing_locations(made))
    return made if len(text) <= LONGEST else None


def _is_simple(value: ast.expr, second: ast.stmt) -> bool:
    """Return whether an expression may stand within the next one and be read easily."""
    return not isinstance(value, ast.Compare | ast.Tuple)


class _Substitution(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node
