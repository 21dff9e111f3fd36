"""Say of attributes what a type checker cannot see: a buffer is a tensor, and what is one layer or another a module."""

from __future__ import annotations

import ast
import builtins

from compiler.emit.names import RESERVED
from compiler.emit.trees import is_own
from spec_schema.walk import walk

HIDING = RESERVED | set(dir(builtins))
"""Names that mean something else where a class is read: a buffer that is called so has no annotation."""


def annotate_attributes(tree: ast.Module) -> ast.Module:
    """Annotate the buffers that the methods of a class read, `inv_freq: Tensor`, and layers of one class or another."""
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            if names := _of_several_classes(cls):
                _Annotated(names).visit(cls)
            buffers = _buffers(cls)
            nodes = walk(cls) if buffers else ()
            read = {node.attr for node in nodes if is_own(node)}
            found = [name for name in buffers if name in read and name not in HIDING]
            at = 1 if ast.get_docstring(cls) is not None else 0
            cls.body[at:at] = [_annotated(name) for name in found]
    return tree


def _buffers(cls: ast.ClassDef) -> list[str]:
    calls = [node for node in walk(cls) if isinstance(node, ast.Call) and _registers(node.func)]
    return [str(ast.literal_eval(each.args[0])) for each in calls]


def _registers(function: ast.expr) -> bool:
    return is_own(function) and function.attr == "register_buffer"


def _annotated(name: str) -> ast.stmt:
    return ast.AnnAssign(ast.Name(name, ast.Store()), ast.Name("Tensor", ast.Load()), None, 1)


def _of_several_classes(cls: ast.ClassDef) -> set[str]:
    """Return the attributes that statements set to layers of different classes."""
    made: dict[str, list[frozenset[str]]] = {}
    for node in walk(cls):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name) as target], value=value) if is_own(target):
                if kinds := _kinds(value):
                    made.setdefault(name, []).append(kinds)
    return {name for name, ways in made.items() if len(ways) > 1 and len(frozenset().union(*ways)) > 1}


def _kinds(value: ast.expr) -> frozenset[str]:
    """Return the classes of layers that a value may be of."""
    match value:
        case ast.Call(func=kind):
            return frozenset([ast.unparse(kind)])
        case ast.IfExp(body=body, orelse=otherwise):
            return _kinds(body) | _kinds(otherwise)
    return frozenset()


class _Annotated(ast.NodeTransformer):
    """Annotates the first assignment of each attribute: `self.inner: nn.Module = ...`."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        (target, *_) = node.targets
        if not (is_own(target) and target.attr in self.names and _kinds(node.value)):
            return node
        self.names.remove(target.attr)
        module = ast.Attribute(ast.Name("nn", ast.Load()), "Module", ast.Load())
        return ast.AnnAssign(target, module, node.value, 0)
