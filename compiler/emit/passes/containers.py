"""Choose containers: `nn.ModuleList` for layers that a program takes one by one, `nn.Sequential` for what is called."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from compiler.emit.trees import is_own
from spec_schema.walk import walk

ITERATING = frozenset({"enumerate", "len", "list", "reversed", "tuple", "zip"})
"""Builtins that go over a list, or count it."""
TAKING = (ast.Subscript, ast.For, ast.comprehension, ast.Call, ast.List)
OF_EVERY_MODULE = frozenset({"buffers", "eval", "parameters", "requires_grad_", "train"})


def choose_containers(tree: ast.Module) -> ast.Module:
    """Make a `ModuleList` of each list that is indexed or iterated over, and never called as a whole."""
    nodes = list(walk(tree))
    one_by_one = {id(taken) for node in nodes if isinstance(node, TAKING) for taken in _one_by_one(node)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    harmless = one_by_one | {id(node.value) for node in attributes if node.attr in OF_EVERY_MODULE}
    reads = [node for node in attributes if isinstance(node.ctx, ast.Load)]
    elsewhere = {node.attr for node in reads if not is_own(node) and id(node) not in harmless}
    elsewhere |= {name for node in nodes for name in _reached(node)}
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef) and _calls_by_name(cls):
            uses = [n for n in walk(cls) if is_own(n) and isinstance(n.ctx, ast.Load)]
            whole = elsewhere | {node.attr for node in uses if id(node) not in harmless}
            _convert(cls, {node.attr for node in uses if id(node) in one_by_one} - whole)
    return tree


def _reached(node: ast.AST) -> list[str]:
    """Return the names on the way of a `get_submodule`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="get_submodule"), args=[ast.Constant(value=str(path))]):
            return path.split(".")
    return []


def _calls_by_name(cls: ast.ClassDef) -> bool:
    """Return whether a class calls its layers by their names: what derives from a container calls all in it."""
    return ast.unparse(cls.bases[0]) == "nn.Module"


def _one_by_one(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions whose items a node takes; of a slice, what is sliced."""
    match node:
        case ast.Subscript(value=value, slice=at) if not isinstance(at, ast.Slice):
            yield value
        case ast.For(iter=over) | ast.comprehension(iter=over):
            yield _sliced(over)
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ITERATING:
            yield from map(_sliced, arguments)
        case ast.List(elts=items):
            yield from (_sliced(item.value) for item in items if isinstance(item, ast.Starred))


def _sliced(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        node = node.value
    return node


def _convert(cls: ast.ClassDef, names: set[str]) -> None:
    """Make `ModuleList`s of the attributes of a class with the given names."""
    for node in walk(cls) if names else ():
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name) as target], value=ast.Call() as made):
                if name in names and is_own(target) and made.args and _is_sequential(made):
                    node.value = _module_list(made)


def _is_sequential(made: ast.Call) -> bool:
    return ast.unparse(made.func) == "nn.Sequential"


def _module_list(made: ast.Call) -> ast.Call:
    match made.args:
        case [ast.Starred(value=layers)]:
            listed = layers
        case _:
            listed = ast.List(made.args, ast.Load())
    return ast.Call(ast.Attribute(ast.Name("nn", ast.Load()), "ModuleList", ast.Load()), [listed], [])
