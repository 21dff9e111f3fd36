"""Forward programs as the body of `forward`."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from compiler.catalogue.operation_table import CONSTANTS, DTYPE_LIMITS, FACTORIES
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.plugin_files import import_name
from compiler.catalogue.plugins import Registry
from compiler.emit.bound import read_before
from compiler.emit.expressions import Translator, condition
from compiler.emit.names import Globals
from compiler.emit.syntax import assign, call, inherited, load_name, own
from compiler.emit.transfers import ClassTransfers
from compiler.emit.trees import copy_tree, names_in, stored_names
from compiler.emit.updates import add_statement, no_grad
from compiler.infer.call_kinds import CallOf, PartOf
from compiler.program import BASE_CALL
from compiler.resolve.programs import MODE, NAMESPACES
from compiler.resolve.updates import Updates, is_update
from spec_schema.evaluate import FUNCTIONS
from spec_schema.names import unused
from spec_schema.walk import walk

GETTERS: dict[CallOf, str] = {
    "part": "get_submodule",
    "parameter": "get_parameter",
    "buffer": "get_buffer",
    "state_inside": "get_buffer",
}


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
        call_kinds: Mapping[int, CallOf],
    ) -> None:
        super().__init__(names, literals, {})
        self.plugins = plugins
        self.members = members
        self.local = local
        self.device = device
        self.call_kinds = call_kinds
        """What each call by a name was one of, when shapes were inferred."""
        self.updates: Updates | None = None
        """What the program does to the buffers of its block."""
        self.kept: frozenset[int] = frozenset()
        """The reads of buffers, by identity, whose value has to stay as it is."""
        self.reads: set[str] = set()
        self.moves: ClassTransfers | None = None
        self.extending = ""
        """The name of the class, if it extends a layer."""

    def visit(self, node: ast.AST) -> Any:
        """Return the translation of a node, moved to another device where that is needed."""
        made = super().visit(node)
        if id(node) in self.kept or (isinstance(node, ast.Attribute) and self._is_state(node)):
            made = call(ast.Attribute(made, "clone", ast.Load()))
        stored = isinstance(getattr(node, "ctx", None), ast.Store)
        return made if self.moves is None or stored else self.moves.value(node, made)

    def body(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Return the translation of statements."""
        result: list[ast.stmt] = []
        for statement in statements:
            translated = self.visit(statement)
            for each in translated if isinstance(translated, list) else [translated]:
                add_statement(result, each)
            if result and isinstance(result[-1], ast.Break | ast.Continue | ast.Return):
                break  # what stands below is never reached
        return result

    def start(self, statements: Sequence[ast.stmt], inputs: Collection[str]) -> list[ast.stmt]:
        """Return the statements that bind values of the block which the program goes on to change."""
        result: list[ast.stmt] = []
        for name in sorted(read_before(statements, inputs)):
            if name in self.members or name in self.literals or name in self.renamed or name in CONSTANTS:
                outside = self.outside(ast.Name(name, ast.Load()))
                result.append(assign(self.local_name(name), outside))
        return result

    def local_name(self, name: str) -> str:
        return name if name == "_" else self.names.local(name)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        name = node.id
        if name == "_" or name in self.local or name in self.bound or isinstance(node.ctx, ast.Store):
            return ast.Name(self.local_name(name), node.ctx)
        return self.outside(node)

    def outside(self, node: ast.Name) -> ast.expr:
        """Return the translation of a name that the program does not bind."""
        name = node.id
        if name == BASE_CALL and self.extending:
            return load_name("self")
        if name in self.members:
            self.reads.add(name)
            return own(self.members[name])
        if name == MODE and name not in self.literals and name not in self.renamed:
            return own(MODE)
        return super().visit_Name(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        name = self._operation_name(node)
        if name is None and (limits := self._limits(node.func)) is not None:
            return ast.Call(limits, arguments, keywords)
        if name is None:
            if self.call_kinds.get(id(node)) == "block":
                keywords = [ast.keyword(k.arg and self.names.local(k.arg), k.value) for k in keywords]
            return ast.Call(self._layer(node.func), arguments, keywords)
        if self._is_builtin(name, node):
            return self.builtin(name, arguments, keywords)
        if self.call_kinds.get(id(node)) == "stacking":
            arguments[0] = ast.Call(self._operation("stack"), arguments[:1], [])
        given = {keyword.arg for keyword in keywords}
        if name in FACTORIES and "device" not in given and self.device is not None:
            keywords.append(ast.keyword("device", self.device))
        return ast.Call(self._operation(name), arguments, keywords)

    def _layer(self, node: ast.expr) -> ast.expr:
        """Return a layer that is called: what the class extends is called as it is inherited."""
        if not (self.extending and isinstance(node, ast.Name) and node.id == BASE_CALL):
            made: ast.expr = self.visit(node)
            return made
        inside = [load_name(self.extending), load_name("self")] if self.inside_comprehension else []
        return inherited("forward", *inside)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Return what a layer inside a layer has, by the methods of torch that say of which kind it is."""
        key = self._key(node)
        getter = GETTERS.get(self.call_kinds.get(id(node), "layer") if key is None else "part")
        if getter is None:
            made: ast.expr = super().generic_visit(node)  # type: ignore[assignment]
            return made
        path, value = key or node.attr, node.value
        while isinstance(value, ast.Attribute) and (outer := self._key(value)) is not None:
            path, value = f"{outer}.{path}", value.value
        return ast.Call(ast.Attribute(self.visit(value), getter, ast.Load()), [ast.Constant(path)], [])

    def _key(self, node: ast.Attribute) -> str | None:
        """Return the key of a layer inside a layer, None for anything else."""
        kind = self.call_kinds.get(id(node))
        return kind.key if isinstance(kind, PartOf) else node.attr if kind == "part" else None

    def _limits(self, function: ast.expr) -> ast.expr | None:
        """Return `torch.finfo`, None for anything else that is called."""
        name = function.id if isinstance(function, ast.Name) else ""
        hidden = name in self.local or name in self.bound or name in self.members
        return self.names.function(DTYPE_LIMITS[name]) if name in DTYPE_LIMITS and not hidden else None

    def _operation_name(self, node: ast.Call) -> str | None:
        """Return the name of an operation or builtin, or None for a layer or a method. No value can be called."""
        function = node.func
        if isinstance(function, ast.Name):
            is_layer = self.call_kinds.get(id(node)) in ("block", "layer")
            return None if is_layer or not self._is_operation(function.id) else function.id
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            space = function.value.id
            hidden = space in self.local or space in self.bound or space in self.members
            if space in NAMESPACES and not hidden:
                return f"{space}.{function.attr}"
        return None

    def _is_operation(self, name: str) -> bool:
        return name in FUNCTIONS or name in OPERATIONS or name in self.plugins.operations

    def _is_builtin(self, name: str, node: ast.Call) -> bool:
        if name not in FUNCTIONS:
            return False
        return name not in OPERATIONS or self.call_kinds.get(id(node)) == "number"

    def _operation(self, name: str) -> ast.expr:
        if name in self.plugins.operations:
            return load_name(self.names.plugin(name, import_name(self.plugins.operations[name])))
        return self.names.function(OPERATIONS[name])

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """Write `x = x + y`: an augmented assignment would change a tensor in place."""
        assert isinstance(node.target, ast.Name)
        if is_update([node.target], self.updated):
            before = self.outside(node.target)
            return no_grad([(before, ast.BinOp(before, node.op, self.visit(node.value)))])
        target = self.visit(node.target)
        before = ast.Name(target.id, ast.Load())
        if self.moves is not None:
            before = self.moves.value(node.target, before)
        value = ast.BinOp(before, node.op, self.visit(node.value))
        return ast.Assign([target], value)

    @property
    def updated(self) -> frozenset[str]:
        """The buffers that the program gives new values."""
        return self.updates.names if self.updates is not None else frozenset()

    def _is_state(self, node: ast.expr) -> bool:
        return self.call_kinds.get(id(node)) in ("state", "state_inside")

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | list[ast.stmt]:
        names = stored_names(*node.targets) & self.updated
        if is_update(node.targets, self.updated):
            return self._update(node.targets[0], node.value)
        if names:
            return self._update_of_several(node, sorted(names))
        return ast.Assign([self.visit(target) for target in node.targets], self.visit(node.value))

    def _update(self, target: ast.expr, value: ast.expr) -> ast.stmt:
        """Write a new value into a buffer, a copy of it where it may be a view of the buffer."""
        assert isinstance(target, ast.Name)
        made = self.visit(value)
        calls = [self.call_kinds.get(id(each)) for each in walk(value)]
        through_layers = target.id in names_in(value) and ("layer" in calls or "block" in calls)
        if self._is_state(target) or through_layers:
            made = call(ast.Attribute(made, "clone", ast.Load()))
        return no_grad([(self.outside(target), made)])

    def _update_of_several(self, node: ast.Assign, names: Sequence[str]) -> list[ast.stmt]:
        """Write `y, new_mean = ...`, and then the new value into the buffer."""
        new = {name: unused(f"new_{name}", self.local | self.names.taken) for name in names}
        targets: list[ast.expr] = copy_tree(node.targets)
        for each in (n for target in targets for n in walk(target) if isinstance(n, ast.Name)):
            each.id = new.get(each.id, each.id)
        first = ast.Assign([self.visit(target) for target in targets], self.visit(node.value))
        pairs = [(self.outside(load_name(name)), load_name(new[name])) for name in names]
        return [first, no_grad(pairs)]

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        assert node.value is not None
        return ast.Return(self.visit(node.value))

    def visit_If(self, node: ast.If) -> list[ast.stmt] | ast.stmt:
        test = condition(self.visit(node.test))
        if isinstance(test, ast.Constant):
            return self.body(node.body if test.value else node.orelse)
        return ast.If(test, self.body(node.body) or [ast.Pass()], self.body(node.orelse))

    def visit_While(self, node: ast.While) -> ast.stmt:
        return ast.While(condition(self.visit(node.test)), self.body(node.body) or [ast.Pass()], [])

    def visit_For(self, node: ast.For) -> ast.stmt:
        return ast.For(
            self.visit(node.target), self.visit(node.iter), self.body(node.body) or [ast.Pass()], []
        )

    def visit_Pass(self, node: ast.Pass) -> ast.stmt:
        return ast.Pass()

    def visit_Break(self, node: ast.Break) -> ast.stmt:
        return ast.Break()

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        return ast.Continue()
