"""New values of buffers, written into them: no gradient flows there, and the buffer stays the tensor that it is."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from compiler.emit.syntax import call, dotted


def no_grad(pairs: Sequence[tuple[ast.expr, ast.expr]]) -> ast.stmt:
    """Return the statement that copies into each buffer a new value."""
    copies = [call(ast.Attribute(buffer, "copy_", ast.Load()), value) for buffer, value in pairs]
    item = ast.withitem(call(dotted("torch.no_grad")), None)
    return ast.With([item], [ast.Expr(each) for each in copies])


def add_statement(statements: list[ast.stmt], statement: ast.stmt) -> None:
    """Add a statement: updates in a row stand in one block."""
    last = statements[-1] if statements else None
    if isinstance(last, ast.With) and isinstance(statement, ast.With):
        last.body.extend(statement.body)
    else:
        statements.append(statement)
