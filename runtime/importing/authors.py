"""The words of an author: what the arguments of a module's layers are called in its own constructor."""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from runtime.importing.nodes import ArgumentValue

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.FloorDiv: operator.floordiv, ast.Pow: operator.pow, ast.Mod: operator.mod},
}


def word_for(module: nn.Module, path: Sequence[str]) -> str | None:
    """Return the name that a constructor gives an argument of a layer: `hidden` of `("mlp", "0", "out_features")`."""
    made = expression_for(module, path)
    return made.id if isinstance(made, ast.Name) else None


def expression_for(module: nn.Module, path: Sequence[str]) -> ast.expr | None:
    """Return what a constructor gives as an argument of a layer: `4 * dim` of `("mlp", "0", "out_features")`."""
    for cls in type(module).__mro__:
        found = _assigned(cls).get(path[0]) if "__init__" in vars(cls) else None
        if found is not None:
            return _inside(found, getattr(module, path[0], None), path[1:])
    return None


@functools.cache
def _assigned(cls: type) -> dict[str, ast.expr]:
    """Return what a constructor assigns to the attributes of `self`, the last of each."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(vars(cls)["__init__"])))
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    found[target.attr] = node.value
    return found


def _inside(made: ast.expr, module: nn.Module | None, path: Sequence[str]) -> ast.expr | None:
    """Return what stands in an expression for what a path leads to."""
    if not path:
        return made
    if module is None:
        return None
    if isinstance(made, ast.IfExp):
        return _inside(made.body, module, path) or _inside(made.orelse, module, path)
    if type(module) in (nn.Sequential, nn.ModuleList):
        if path == ("depth",):
            return _count(made)
        item = _item(made, path[0])
        return _inside(item, module._modules.get(path[0]), path[1:]) if item is not None else None
    if isinstance(made, ast.Call) and len(path) == 1:
        return _argument(made, module, path[0])
    return None


def _count(made: ast.expr) -> ast.expr | None:
    """Return how many items a comprehension over a range makes."""
    item = made.args[0] if isinstance(made, ast.Call) and made.args else None
    found = item.value if isinstance(item, ast.Starred) else item
    if not isinstance(found, ast.ListComp | ast.GeneratorExp):
        return None
    over = found.generators[0].iter
    single = isinstance(over, ast.Call) and ast.unparse(over.func) == "range" and len(over.args) == 1
    return over.args[0] if isinstance(over, ast.Call) and single else None


def _item(made: ast.expr, name: str) -> ast.expr | None:
    """Return the expression of an item of a sequence or list."""
    if isinstance(made, ast.Call) and made.args:
        inside = made.args[0]
        if isinstance(inside, ast.ListComp | ast.GeneratorExp):
            return inside.elt
        if isinstance(inside, ast.Starred) and isinstance(inside.value, ast.ListComp | ast.GeneratorExp):
            return inside.value.elt
        items = inside.elts if isinstance(inside, ast.List | ast.Tuple) else made.args
        if (
            name.isdigit()
            and int(name) < len(items)
            and not any(isinstance(each, ast.Starred) for each in items)
        ):
            return items[int(name)]
    return None


def _argument(made: ast.Call, module: nn.Module, name: str) -> ast.expr | None:
    for keyword in made.keywords:
        if keyword.arg == name:
            return keyword.value
    try:
        names = list(inspect.signature(type(module)).parameters)
    except (TypeError, ValueError):
        return None
    if name in names and names.index(name) < len(made.args):
        return made.args[names.index(name)]
    return None


def formula_for(module: nn.Module, name: str, known: Mapping[str, ArgumentValue]) -> ast.expr | None:
    """Return what a constructor computes an attribute of, where that is numbers which a program knows and this one."""
    for cls in type(module).__mro__:
        made = _assigned(cls).get(name) if "__init__" in vars(cls) else None
        if made is None:
            continue
        found = computed(made, known)
        return found[0] if found is not None and found[1] == vars(module).get(name) else None
    return None


def formula_text(made: ast.expr) -> str:
    """Return a formula as people write it: `dim ** -0.5`."""
    return re.sub(r"\*\* \((-[\d.]+)\)", r"** \1", ast.unparse(made))


def computed(made: ast.expr, known: Mapping[str, ArgumentValue]) -> tuple[ast.expr, int | float] | None:
    """Return the formula that an expression is over known numbers, with its value; None for a mere name or number."""
    if isinstance(made, ast.Name | ast.Constant) or not any(True for _ in names_in(made)):
        return None
    found: ast.expr = _Plain().visit(ast.parse(ast.unparse(made), mode="eval").body)
    value = _evaluated(found, known)
    return (found, value) if value is not None and not isinstance(found, ast.Name) else None


class _Plain(ast.NodeTransformer):
    """Writes `self.heads` as `heads`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
        return ast.Name(node.attr) if is_own else node


def names_in(made: ast.expr) -> Iterator[ast.Name]:
    """Yield the names in an expression."""
    return (each for each in ast.walk(made) if isinstance(each, ast.Name))


def _evaluated(made: ast.expr, known: Mapping[str, ArgumentValue]) -> int | float | None:
    """Return the number that arithmetic on known numbers gives, None for anything else."""
    if isinstance(made, ast.Constant | ast.Name):
        found = made.value if isinstance(made, ast.Constant) else known.get(made.id)
        return found if isinstance(found, int | float) and not isinstance(found, bool) else None
    if isinstance(made, ast.UnaryOp) and isinstance(made.op, ast.USub):
        operand = _evaluated(made.operand, known)
        return None if operand is None else -operand
    if isinstance(made, ast.BinOp) and type(made.op) in _ARITHMETIC:
        left, right = _evaluated(made.left, known), _evaluated(made.right, known)
        if left is None or right is None:
            return None
        try:
            result = _ARITHMETIC[type(made.op)](left, right)
        except ArithmeticError:
            return None
        return result if isinstance(result, int | float) else None
    return None
