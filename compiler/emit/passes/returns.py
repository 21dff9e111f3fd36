"""Say what is returned: what a layer gives has no type of its own, so that it passes through a value that has one.

`nn.Module` does not say what a call of it returns. `return self.proj(x)` would return anything from a function that
promises a tensor; `x = self.proj(x)` and `return x` return a tensor, and so does a local value with an annotation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from compiler.emit.passes.functions import functions

MODULES = frozenset({"torch", "nn", "F", "math"})
UNTYPED_METHODS = frozenset({"norm", "split", "unflatten", "unique"})
"""Methods of tensors that torch has no types for."""
PASSED_ON = frozenset({"max", "min", "rearrange", "reduce", "repeat", "sum"})
"""Functions whose result is of the type that they are given."""


def name_results(tree: ast.Module) -> ast.Module:
    """Give a type to what each annotated function returns."""
    for node in functions(tree):
        if node.returns is not None:
            function = _Function(node)
            node.body = [*function.named(node.body)]
            node.returns = function.all_results()
    return tree


class _Function:
    """One function, and which of its values have no type."""

    def __init__(self, node: ast.FunctionDef) -> None:
        self.node = node
        self.returns = ast.unparse(node.returns) if node.returns is not None else ""
        arguments = [each for each in node.args.args if each.arg != "cls"]
        self.arguments = {a.arg: ast.unparse(a.annotation) for a in arguments if a.annotation is not None}
        self.untyped = dict.fromkeys((a.arg for a in arguments), False)
        self.values: dict[str, ast.expr] = {}
        """What names are first bound to, which says their type."""
        for name, value in _bindings(node.body):
            if name not in self.untyped:
                self.values[name] = value
                self.untyped[name] = self.is_untyped(value)
        self.output = _unused("output", self.untyped)
        self.declared = False

    def named(self, body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
        """Yield statements in which no value without a type is returned."""
        for statement in body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                yield from self._returned(statement, statement.value)
            else:
                for part in ("body", "orelse"):
                    if inner := getattr(statement, part, None):
                        setattr(statement, part, [*self.named(inner)])
                yield statement

    def _returned(self, statement: ast.Return, value: ast.expr) -> Iterator[ast.stmt]:
        if not self.is_untyped(value):
            yield statement
            return
        name = "x" if self.arguments.get("x") == self.returns else self.output
        target = ast.Name(name, ast.Store())
        if name == "x" or self.declared:
            yield ast.Assign([target], value)
        else:
            self.declared = True
            yield ast.AnnAssign(target, ast.parse(self.returns, mode="eval").body, value, 1)
        yield ast.Return(ast.Name(name, ast.Load()))

    def all_results(self) -> ast.expr:
        """Return the annotation, with the tuples that the function returns in another mode, as in training."""
        values = [node.value for node in ast.walk(self.node) if isinstance(node, ast.Return)]
        tuples = (
            [value.elts for value in values if isinstance(value, ast.Tuple)]
            if self.returns == "Tensor"
            else []
        )
        forms = [f"tuple[{', '.join(map(self._part, elements))}]" for elements in tuples]
        return ast.parse(" | ".join(dict.fromkeys([self.returns, *forms])), mode="eval").body

    def _part(self, node: ast.expr) -> str:
        value = self.values.get(node.id) if isinstance(node, ast.Name) else node
        return "Tensor | None" if isinstance(value, ast.IfExp) and _is_none(value.orelse) else "Tensor"

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
            case ast.Name(id=name):
                return (
                    name == "getattr" or name in self.untyped
                )  # a layer that a loop binds; functions say what they return
            case ast.Attribute(value=ast.Name(id="self")) | ast.Subscript():
                return True
            case ast.Attribute(value=value, attr=name) if not _is_of_module(value):
                return _is_super(value) or name in UNTYPED_METHODS or self.is_untyped(value)
        return False


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_of_module(node: ast.expr) -> bool:
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


def _unused(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "_"
    return name
