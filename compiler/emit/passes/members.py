"""Write `self.vae.encoder`, and no `get_submodule`, where a type checker knows the class of the layer."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from compiler.emit.trees import is_own
from spec_schema.walk import walk

Made = Mapping[str, Mapping[str, str | None]]
"""The attributes of each class that derives from `nn.Module`, with the class of each, None where there are several."""
GETTERS = ("get_submodule", "get_parameter")
PARAMETER = "nn.Parameter"


def name_members(tree: ast.Module) -> ast.Module:
    """Write attributes for what a `forward` gets by `get_submodule` and `get_parameter`, where the class is known."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    made = {each.name: _attributes(each) for each in classes if ast.unparse(each.bases[0]) == "nn.Module"}
    for cls in classes:
        for method in cls.body:
            if isinstance(method, ast.FunctionDef) and method.name == "forward":
                _Named(cls.name, made).visit(method)
    return tree


def _attributes(cls: ast.ClassDef) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for node in walk(cls):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name) as target], value=value) if is_own(target):
                kind = ast.unparse(value.func) if isinstance(value, ast.Call) else None
                found[name] = kind if found.get(name, kind) == kind else None
    return found


class _Named(ast.NodeTransformer):
    """Writes the attributes in one class."""

    def __init__(self, cls: str, made: Made) -> None:
        self.cls, self.made = cls, made

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(
                func=ast.Attribute(value=owner, attr=getter), args=[ast.Constant(value=str(path))]
            ) if getter in GETTERS:
                return self._named(owner, getter, path.split("."))
        return node

    def _named(self, owner: ast.expr, getter: str, path: list[str]) -> ast.expr:
        """Return the attributes as far as they are known, and the rest of the path by its getter."""
        kind = self._class_of(owner)
        while path and kind is not None and _has(self.made, kind, path[0], getter, len(path) == 1):
            name = path.pop(0)
            kind = self.made[kind].get(name) if kind in self.made else None
            owner = ast.Attribute(owner, name, ast.Load())
        if not path:
            return owner
        return ast.Call(ast.Attribute(owner, getter, ast.Load()), [ast.Constant(".".join(path))], [])

    def _class_of(self, node: ast.expr) -> str | None:
        """Return the class of a layer that is reached by attributes alone, None where nothing tells it."""
        if isinstance(node, ast.Name) and node.id == "self":
            return self.cls if self.cls in self.made else None
        if not isinstance(node, ast.Attribute):
            return None
        owner = self._class_of(node.value)
        return self.made[owner].get(node.attr) if owner is not None and owner in self.made else None


def _has(made: Made, cls: str, name: str, getter: str, is_last: bool) -> bool:
    """Return whether a class is known to have a layer of this name, or a parameter if one is asked for."""
    asks_parameter = is_last and getter == "get_parameter"
    if cls in made:
        kind = made[cls].get(name)
        return kind is not None and (kind == PARAMETER) == asks_parameter
    return asks_parameter and _has_parameter(cls.removeprefix("nn."), name)


def _has_parameter(layer_name: str, name: str) -> bool:
    """Return whether a type checker knows a parameter of a layer of torch."""
    from torch import nn  # not above: the names of passes are listed without torch

    from compiler.emit.sites import is_optional, is_typed

    layer = getattr(nn, layer_name, None)
    return layer is not None and is_typed(layer, name) and not is_optional(layer, name)
