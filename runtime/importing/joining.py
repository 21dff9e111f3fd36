"""From statements to the lines of a program: joined where that is short, and once where both modes have them."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence, Set

from spec_schema.walk import walk

LONGEST = 88


def lines_of(statements: Sequence[ast.stmt], kept: Set[str] = frozenset()) -> list[str]:
    """Return the lines of statements, joined where that is short.

    `kept` are buffers, to which an assignment does something.
    """
    return [line for each in merged(list(statements), kept) for line in statement_lines(each)]


def lines_of_modes(
    training: Sequence[ast.stmt], evaluation: Sequence[ast.stmt], kept: Set[str] = frozenset()
) -> list[str]:
    """Return the lines of what is done in training and in evaluation; what both begin and end with stands once."""
    begin = _common(training, evaluation)
    if begin == len(evaluation):
        return lines_of(evaluation, kept)
    rest, others = training[begin:], evaluation[begin:]
    end = _common(rest[::-1], others[::-1])
    if end == len(rest) and end < len(others):
        condition, inside, outside = "if not training:", others[: len(others) - end], rest[:0]
    else:
        condition, inside, outside = "if training:", rest[: len(rest) - end], others[: len(others) - end]
    lines = [*lines_of(training[:begin], kept), condition, *(f"  {line}" for line in lines_of(inside, kept))]
    if end and outside:
        lines += ["else:", *(f"  {line}" for line in lines_of(outside, kept))]
    elif outside:
        lines += lines_of(outside, kept)
    return [*lines, *lines_of(rest[len(rest) - end :], kept)]


def _common(some: Sequence[ast.stmt], others: Sequence[ast.stmt]) -> int:
    """Return how many statements two programs begin with alike."""
    count = 0
    for one, other in zip(some, others, strict=False):
        if statement_text(one) != statement_text(other):
            break
        count += 1
    return count


def statement_lines(statement: ast.stmt) -> list[str]:
    """Return the lines of a statement, two columns to a level."""
    found = re.sub(r"(\d)e-0(\d)", r"\1e-\2", statement_text(statement)).split("\n")
    return [f"{' ' * ((len(line) - len(line.lstrip())) // 2)}{line.lstrip()}" for line in found]


def statement_text(statement: ast.stmt) -> str:
    """Return the text of a statement; several results stand without parentheses."""
    if (
        isinstance(statement, ast.Return)
        and isinstance(statement.value, ast.Tuple)
        and len(statement.value.elts) > 1
    ):
        items = [ast.unparse(ast.fix_missing_locations(each)) for each in statement.value.elts]
        return f"return {', '.join(items)}"
    return ast.unparse(ast.fix_missing_locations(statement))


def merged(statements: list[ast.stmt], kept: Set[str]) -> list[ast.stmt]:
    """Return statements in which `x = a(x)` and `x = b(x)` in a row are `x = b(a(x))` where that is short."""
    found: list[ast.stmt] = []
    for statement in statements:
        joined = _joined(found[-1], statement, kept) if found else None
        if joined is not None:
            found[-1] = joined
        else:
            found.append(statement)
    return found


def _joined(first: ast.stmt, second: ast.stmt, kept: Set[str]) -> ast.stmt | None:
    if not isinstance(first, ast.Assign) or not isinstance(first.targets[0], ast.Name):
        return None
    name = first.targets[0].id
    if name in kept:
        return None
    again = isinstance(second, ast.Assign) and ast.dump(second.targets[0]) == ast.dump(first.targets[0])
    if not (again or isinstance(second, ast.Return)):
        return None
    assert isinstance(second, ast.Assign | ast.Return)
    loads = [each for each in walk(second.value or second) if isinstance(each, ast.Name) and each.id == name]
    if len(loads) != 1 or not _is_simple(first.value):
        return None
    value = _Substitution(name, first.value).visit(
        ast.parse(ast.unparse(second.value or second), mode="eval").body
    )
    made = ast.Assign(second.targets, value) if isinstance(second, ast.Assign) else ast.Return(value)
    text = ast.unparse(ast.fix_missing_locations(made))
    return made if len(text) <= LONGEST else None


def _is_simple(value: ast.expr) -> bool:
    """Return whether an expression may stand within the next one and be read easily."""
    return not isinstance(value, ast.Compare | ast.Tuple)


class _Substitution(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name, self.value = name, value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node
