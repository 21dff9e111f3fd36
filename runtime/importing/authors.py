"""The words of an author: what the arguments of a module's layers are called in its own constructor."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Sequence

from torch import nn


def word_for(module: nn.Module, path: Sequence[str]) -> str | None:
    """Return the name that a constructor gives an argument of a layer: `hidden` of `("mlp", "0", "out_features")`."""
    for cls in type(module).__mro__:
        found = _assigned(cls).get(path[0]) if "__init__" in vars(cls) else None
        if found is not None:
            return _word(found, getattr(module, path[0], None), path[1:])
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


def _word(made: ast.expr, module: nn.Module | None, path: Sequence[str]) -> str | None:
    """Return the name that stands in an expression for what a path leads to."""
    if not path:
        return made.id if isinstance(made, ast.Name) else None
    if module is None:
        return None
    if isinstance(made, ast.IfExp):
        return _word(made.body, module, path) or _word(made.orelse, module, path)
    if type(module) in (nn.Sequential, nn.ModuleList):
        item = _item(made, path[0])
        return _word(item, module._modules.get(path[0]), path[1:]) if item is not None else None
    if isinstance(made, ast.Call) and len(path) == 1:
        argument = _argument(made, module, path[0])
        return argument.id if isinstance(argument, ast.Name) else None
    return None


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
