"""Fill a list of named layers where it stands: `self.heads.add_module(...)`, without a local name for it."""

from __future__ import annotations

import ast

from compiler.emit.passes.functions import functions
from compiler.emit.trees import Replaced, names_in


def fill_in_place(tree: ast.Module) -> ast.Module:
    """Set the attribute first where a container is made, filled item by item, and then set as an attribute."""
    for function in functions(tree):
        if function.name == "__init__":
            _fill(function.body)
    return tree


def _fill(body: list[ast.stmt]) -> None:
    """Rewrite the containers of one row of statements."""
    at = 0
    while at < len(body):
        statement = body[at]
        if isinstance(statement, ast.If):
            _fill(statement.body)
            _fill(statement.orelse)
        end = _end(body, at)
        if end is not None:
            assert isinstance(statement, ast.Assign)
            stored = body[end]
            assert isinstance(stored, ast.Assign)
            name, statement.targets = ast.unparse(statement.targets[0]), stored.targets
            read = ast.parse(ast.unparse(stored.targets[0]), mode="eval").body
            for each in body[at + 1 : end]:
                Replaced(name, read).visit(each)
            body.remove(stored)
        at += 1


def _end(body: list[ast.stmt], at: int) -> int | None:
    """Return where the container that a statement makes is set as an attribute, None if it is none or is read else."""
    match body[at]:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[], func=made)):
            if not ast.unparse(made).endswith(("Sequential", "ModuleDict")):
                return None
        case _:
            return None
    for end in range(at + 1, len(body)):
        match body[end]:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"))], value=ast.Name(id=read)):
                if read == name:
                    return None if name in names_in(*body[end + 1 :]) else end
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=filled)))) if filled == name:
                pass
            case ast.For() | ast.If():
                pass
            case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()):
                if name in names_in(body[end]):
                    return None
            case _:
                return None
    return None
