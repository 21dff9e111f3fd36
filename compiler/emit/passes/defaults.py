"""Leave out literal arguments that say what a layer, or a class of the file, does anyway: `groups=1`, `bias=True`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from compiler.catalogue.layers import layer_names, layer_type
from spec_schema.walk import walk

Defaults = Mapping[str, object]
NO_DEFAULTS: Defaults = MappingProxyType({})


def drop_defaults(tree: ast.Module) -> ast.Module:
    """Leave out the keyword arguments of calls that equal the default of what is called."""
    own = {node.name: _own_defaults(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in walk(tree):
        if isinstance(node, ast.Call) and node.keywords:
            defaults = _defaults_of(node.func, own)
            node.keywords = [each for each in node.keywords if not _is_default(each, defaults)]
    return tree


def _defaults_of(function: ast.expr, own: Mapping[str, Defaults]) -> Defaults:
    match function:
        case ast.Attribute(value=ast.Name(id="nn"), attr=name) if name in layer_names():
            return _layer_defaults(name)
        case ast.Name(id=name):
            return own.get(name, NO_DEFAULTS)
    return NO_DEFAULTS


@cache
def _layer_defaults(name: str) -> Defaults:
    return {argument.name: argument.default for argument in layer_type(name).arguments}


def _own_defaults(node: ast.ClassDef) -> Defaults:
    """Return the literal defaults of the constructor of a class of the file."""
    constructor = next(
        (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
    )
    if constructor is None or not constructor.args.defaults:
        return NO_DEFAULTS
    defaults = constructor.args.defaults
    pairs = zip(constructor.args.args[-len(defaults) :], defaults, strict=True)
    return {argument.arg: each.value for argument, each in pairs if isinstance(each, ast.Constant)}


def _is_default(keyword: ast.keyword, defaults: Defaults) -> bool:
    if keyword.arg is None or keyword.arg not in defaults or not isinstance(keyword.value, ast.Constant):
        return False
    value, default = keyword.value.value, defaults[keyword.arg]
    return type(value) is type(default) and value == default
