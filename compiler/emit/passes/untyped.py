"""Which values of a function a type checker takes for anything: what a layer gives, and what torch has no types for."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

MODULES = frozenset({"torch", "nn", "F", "math"})
UNTYPED_METHODS = frozenset({"istft", "norm", "split", "stft", "unflatten", "unique"})
"""Methods of tensors that torch has no types for."""
UNTYPED_FUNCTIONS = frozenset({"norm", "tensordot", "unique", "unique_consecutive"})
"""Functions of torch whose result may be anything."""
PASSED_ON = frozenset({"max", "min", "rearrange", "reduce", "repeat", "sum"})
"""Functions whose result is of the type that they are given."""


class Types:
    """What is known of the values of one function."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.untyped = {each.arg: False for each in node.args.args if each.arg != "cls"}
        self.values: dict[str, ast.expr] = {}
        """What names are first bound to, which says their type."""
        for name, value in _bindings(node.body):
            if name not in self.untyped:
                self.values[name] = value
                self.untyped[name] = self.is_untyped(value)

    def is_untyped(self, node: ast.expr) -> bool:
        """Return whether a type checker takes a value for anything."""
        match node:
            case ast.Name(id=name):
                return self.untyped.get(name, False)
            case ast.Call(func=function):
                return self._gives_untyped(function, node.args)
            case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
                return self.is_untyped(left) or self.is_untyped(right)
            case ast.Compare(left=left, comparators=[right]):
                return self.is_untyped(left) or self.is_untyped(right)
            case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.UnaryOp(operand=value):
                return self.is_untyped(value)
        return False

    def _gives_untyped(self, function: ast.expr, arguments: list[ast.expr]) -> bool:
        match function:
            case ast.Name(id=name) if name in PASSED_ON and name not in self.untyped:
                return any(map(self.is_untyped, arguments))
            case ast.Call():
                return self.is_untyped(function)  # a layer whose key is no name
            case ast.Name(id=name):  # a layer that a loop binds; functions say what they return
                return name == "getattr" or name in self.untyped
            case ast.Attribute(value=ast.Name(id="self")) | ast.Subscript():
                return True
            case ast.Attribute(value=ast.Name(id="torch"), attr=name):
                return name in UNTYPED_FUNCTIONS
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="torch"))):
                return True  # torch has no types for fft, linalg and special
            case ast.Attribute(value=value, attr=name) if not is_of_module(value):
                return _is_super(value) or name in UNTYPED_METHODS or self.is_untyped(value)
        return False


def is_of_module(node: ast.expr) -> bool:
    """Return whether a value is a module of the file, or something in one."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in MODULES


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _bindings(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that statements bind, in their order, each with what it is taken from."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            yield from _pairs(statement.targets[0], statement.value)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, ast.Constant(None)
        elif isinstance(statement, ast.For):
            yield from _pairs(statement.target, statement.iter)
        for part in ("body", "orelse"):
            yield from _bindings(getattr(statement, part, ()))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple):
        matched = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        values = value.elts if isinstance(value, ast.Tuple) and matched else [value] * len(target.elts)
        for part, each in zip(target.elts, values, strict=True):
            yield from _pairs(part, each)
