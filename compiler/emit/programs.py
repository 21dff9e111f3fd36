"""Forward programs as the body of `forward`."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.catalogue.operation_table import FACTORIES
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.plugin_files import import_name
from compiler.catalogue.plugins import Registry
from compiler.emit.expressions import Translator
from compiler.emit.moves import ClassMoves
from compiler.emit.names import Globals
from compiler.emit.syntax import name, own
from compiler.resolve.programs import MODE, NAMESPACES
from spec_schema.evaluate import FUNCTIONS


class ProgramTranslator(Translator):
    """Translates the statements of a program. `members` are the names that live on `self`."""

    def __init__(
        self,
        names: Globals,
        plugins: Registry,
        literals: Mapping[str, object],
        members: Mapping[str, str],
        local: set[str],
        device: ast.expr | None,
        number_calls: set[int],
    ) -> None:
        super().__init__(names, literals, {})
        self.plugins = plugins
        self.members = members
        self.local = local
        self.device = device
        self.number_calls = number_calls
        """Calls of a name that is both a function of numbers and an operation, and that got numbers."""
        self.reads: set[str] = set()
        self.moves: ClassMoves | None = None

    def visit(self, node: ast.AST) -> Any:
        """Return the translation of a node, moved to another device where that is needed."""
        made = super().visit(node)
        stored = isinstance(getattr(node, "ctx", None), ast.Store)
        return made if self.moves is None or stored else self.moves.value(node, made)

    def body(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Return the translation of statements."""
        result: list[ast.stmt] = []
        for statement in statements:
            translated = self.visit(statement)
            result.extend(translated if isinstance(translated, list) else [translated])
        return result

    def visit_Name(self, node: ast.Name) -> ast.expr:
        title = node.id
        if title == "_":
            return ast.Name("_", node.ctx)
        if title in self.local:
            return ast.Name(self.names.local(title), node.ctx)
        if title in self.members:
            self.reads.add(title)
            return own(self.members[title])
        if title == MODE and title not in self.literals:
            return own(MODE)
        return super().visit_Name(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        title = self._operation_name(node.func)
        if title is None:
            return ast.Call(self.visit(node.func), arguments, keywords)
        if self._is_builtin(title, node):
            return self.builtin(title, arguments, keywords)
        given = {keyword.arg for keyword in keywords}
        if title in FACTORIES and "device" not in given and self.device is not None:
            keywords.append(ast.keyword("device", self.device))
        return ast.Call(self._operation(title), arguments, keywords)

    def _operation_name(self, function: ast.expr) -> str | None:
        """Return the name of an operation or builtin, or None for a layer or a method."""
        if isinstance(function, ast.Name):
            known = function.id in self.members or function.id in self.local
            return None if known else function.id
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            space = function.value.id
            if space in NAMESPACES and space not in self.local and space not in self.members:
                return f"{space}.{function.attr}"
        return None

    def _is_builtin(self, title: str, node: ast.Call) -> bool:
        if title not in FUNCTIONS:
            return False
        if title not in OPERATIONS:
            return True
        return id(node) in self.number_calls

    def _operation(self, title: str) -> ast.expr:
        if title in self.plugins.operations:
            function = self.plugins.operations[title]
            self.names.plugins[title] = import_name(function)
            self.names.taken.add(title)
            return name(title)
        return self.names.function(OPERATIONS[title])

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """Write `x = x + y`: an augmented assignment would change a tensor in place."""
        assert isinstance(node.target, ast.Name)
        target = self.visit(node.target)
        before: ast.expr = ast.Name(target.id, ast.Load())
        if self.moves is not None:
            before = self.moves.value(node.target, before)
        value = ast.BinOp(before, node.op, self.visit(node.value))
        return ast.Assign([target], value)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        return ast.Assign([self.visit(target) for target in node.targets], self.visit(node.value))

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        assert node.value is not None
        return ast.Return(self.visit(node.value))

    def visit_If(self, node: ast.If) -> list[ast.stmt] | ast.stmt:
        test = self.visit(node.test)
        if isinstance(test, ast.Constant):
            return self.body(node.body if test.value else node.orelse)
        return ast.If(test, self.body(node.body) or [ast.Pass()], self.body(node.orelse))

    def visit_While(self, node: ast.While) -> ast.stmt:
        return ast.While(self.visit(node.test), self.body(node.body), [])

    def visit_For(self, node: ast.For) -> ast.stmt:
        return ast.For(self.visit(node.target), self.visit(node.iter), self.body(node.body), [])

    def visit_Pass(self, node: ast.Pass) -> ast.stmt:
        return ast.Pass()


def stored_names(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the local names that statements bind."""
    return {
        n.id
        for s in statements
        for n in ast.walk(s)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
