"""Call a function of torch where the method of the same name has no types: `torch.split(x, 2)` for `x.split(2)`.

A type checker refuses to call such a method of a tensor. What is a tensor or anything, as what a layer gives, has a
method like any other.
"""

from __future__ import annotations

import ast

from compiler.emit.passes.functions import functions
from compiler.emit.passes.untyped import Types, is_of_module
from spec_schema.walk import walk

METHODS = frozenset({"split", "unflatten", "unique", "unique_consecutive"})
RENAMED = {("split", "split_size"): "split_size_or_sections"}
"""Arguments that the function calls otherwise than the method."""


def call_typed_functions(tree: ast.Module) -> ast.Module:
    """Write the methods that torch has no types for as its functions, where a value is a tensor for sure."""
    for node in functions(tree):
        types = Types(node)
        for each in walk(node):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
                _call_function(each, each.func, types)
    return tree


def _call_function(node: ast.Call, method: ast.Attribute, types: Types) -> None:
    name, value = method.attr, method.value
    if name not in METHODS or is_of_module(value) or types.is_untyped(value):
        return
    node.func = ast.Attribute(ast.Name("torch", ast.Load()), name, ast.Load())
    node.args.insert(0, value)
    for keyword in node.keywords:
        keyword.arg = RENAMED.get((name, keyword.arg or ""), keyword.arg)
