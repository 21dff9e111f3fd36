"""Say what is returned: what a layer gives has no type of its own, so that it passes through a value that has one.

`nn.Module` does not say what a call of it returns. `return self.proj(x)` would return anything from a function that
promises a tensor; `x = self.proj(x)` and `return x` return a tensor, and so does a local value with an annotation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from compiler.emit.passes.functions import functions
from compiler.emit.passes.untyped import Types
from spec_schema.walk import walk


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
        arguments = node.args.args
        self.arguments = {a.arg: ast.unparse(a.annotation) for a in arguments if a.annotation is not None}
        self.types = Types(node)
        self.output = _unused("output", self.types.untyped)
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
        if not self.types.is_untyped(value):
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
        values = [node.value for node in walk(self.node) if isinstance(node, ast.Return)]
        tuples = (
            [value.elts for value in values if isinstance(value, ast.Tuple)]
            if self.returns == "Tensor"
            else []
        )
        forms = [f"tuple[{', '.join(map(self._part, elements))}]" for elements in tuples]
        return ast.parse(" | ".join(dict.fromkeys([self.returns, *forms])), mode="eval").body

    def _part(self, node: ast.expr) -> str:
        value = self.types.values.get(node.id) if isinstance(node, ast.Name) else node
        return "Tensor | None" if isinstance(value, ast.IfExp) and _is_none(value.orelse) else "Tensor"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _unused(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "_"
    return name
