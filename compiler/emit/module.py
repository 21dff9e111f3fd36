"""Emit: from the states and the plan of a model to the source of a stand-alone Python file."""

from __future__ import annotations

import ast
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from compiler.catalogue.layers import LayerType
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operation_table import TRAINING
from compiler.catalogue.plugin_files import import_name
from compiler.catalogue.plugins import Registry
from compiler.emit.bound import bound_names, called_names, layer_names
from compiler.emit.classes import ClassEmitter
from compiler.emit.dtypes import CONVERTED, CONVERTED_SOURCE
from compiler.emit.groups import ClassGroup, class_groups, group_key, several_classes
from compiler.emit.moves import RELAY, RELAY_SOURCE
from compiler.emit.names import Globals
from compiler.emit.rules import ties_by_block
from compiler.emit.syntax import call, class_, dotted, function, literal, name, own, parameters, renamed
from compiler.infer.build import Builder
from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState, Operation
from compiler.infer.values import Recipe
from compiler.placement.moves import Moves
from compiler.plan import Plan, PlanRow, Tie
from compiler.program import Call, Inline
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.grammar import Expression
from spec_schema.selectors import Step


@dataclass(eq=False)
class ModuleEmitter:
    """Emits one file."""

    inferred: Inferred
    plan: Plan
    moves: Moves = field(default_factory=Moves)
    names: Globals = field(default_factory=Globals)
    functions: list[ast.stmt] = field(default_factory=list)
    operations: dict[tuple[str, bool], str] = field(default_factory=dict)
    """Name of an operation in a layer position, and whether it takes the mode of its module → its class."""
    _relay: str | None = None
    _converting: str | None = None

    def __post_init__(self) -> None:
        self.builder: Builder = self.inferred.engine.builder
        self.plugins: Registry = self.inferred.engine.plugins
        self.call_kinds = self.inferred.engine.call_kinds
        self.groups = class_groups(self.inferred.root)
        self.root = self.groups[group_key(self.inferred.root)]
        self.names.reserve(
            [*self.plugins.operations, *(e.cls.__name__ for e in self.plugins.layers.values())]
        )
        definitions = [group.definition for group in self.groups.values()]
        self.names.bound = {t for each in definitions for t in bound_names(each) | layer_names(each)}
        self.names.called = {title for each in definitions for title in called_names(each)}
        for group in (self.root, *(each for each in self.groups.values() if each is not self.root)):
            group.title = self.names.unique(group.definition.name)
        self.rows: dict[tuple[int, str], list[PlanRow]] = {}
        for row in self.plan.rows:
            self.rows.setdefault((id(row.source.owner), row.source.steps[-1].name), []).append(row)
        self.ties = ties_by_block(self.plan)

    def emit(self) -> ast.Module:
        """Return the tree of the whole file."""
        classes = [ClassEmitter(self, group).emit() for group in self.groups.values()]
        helpers = [self._operation_class(*key, cls) for key, cls in self.operations.items()]
        helpers += [renamed(RELAY_SOURCE, self._relay)] if self._relay is not None else []
        helpers += [renamed(CONVERTED_SOURCE, self._converting)] if self._converting is not None else []
        document = self.inferred.program.document
        doc = document.doc.text if document.doc else None
        head: list[ast.stmt] = [ast.Expr(ast.Constant(doc.strip()))] if doc else []
        body = [*head, *self.names.imports(), *self.names.wraps(), *self.functions, *helpers, *classes]
        for node in (n for statement in body for n in ast.walk(statement)):
            if isinstance(node, ast.Constant) and isinstance(node.value, Recipe):
                raise _not_a_value(node.value)
        return ast.fix_missing_locations(ast.Module(body, []))

    # What classes ask for.

    def nn(self, title: str) -> str:
        """Return the name of a class of torch.nn, and note that it is used."""
        self.names.used.add("nn")
        return f"nn.{title}"

    def sequential(self, row: object) -> tuple[str, dict[str, ast.expr]]:
        """Return the class of layers in a row, and its arguments that say where the value moves in front of them."""
        places = self.moves.relays.get(row)
        if places is None:
            return self.nn("Sequential"), {}
        if self._relay is None:
            self._relay = self.names.added(RELAY)
            self.names.used |= {"nn", "Tensor"}
        return self._relay, {"moves": literal(tuple(sorted(places)))}

    def converting(self) -> str:
        """Return the name of the function that converts what a layer saves."""
        if self._converting is None:
            self._converting = self.names.unique(CONVERTED)
            self.names.used |= {"nn", "torch", "Tensor"}
        return self._converting

    def layer(self, layer: LayerType) -> ast.expr:
        """Return the expression for the class of a layer."""
        if layer.source == "torch.nn":
            return dotted(self.nn(layer.name))
        return name(self.names.plugin(layer.cls.__name__, import_name(layer.cls)))

    def plugin_operation(self, title: str) -> ast.expr:
        return name(self.names.plugin(title, import_name(self.plugins.operations[title])))

    def group_of(self, states: Sequence[BlockState], node: Call | Inline) -> ClassGroup:
        """Return the class of instances that one node makes."""
        keys = {group_key(state) for state in states}
        if len(keys) > 1:
            raise several_classes(node.span, len({recipes for _, recipes, _ in keys}) > 1)
        return self.groups[keys.pop()]

    def operation_class(self, state: Operation) -> str:
        """Return the class that makes a layer of an operation."""
        key = state.name, self.inferred.engine.follows_mode(state)
        if key not in self.operations:
            title = "".join(part[:1].upper() + part[1:] for part in state.name.replace(".", "_").split("_"))
            self.operations[key] = self.names.added(title)
        return self.operations[key]

    def _operation_class(self, operation: str, follows_mode: bool, title: str) -> ast.stmt:
        """Return a class whose `forward` is one operation, with the arguments of its constructor."""
        self.names.used |= {"nn", "Tensor"}
        target = self._operation_target(operation)
        extra = [ast.Starred(own("args"), ast.Load())]
        mode = [ast.keyword(TRAINING, own(TRAINING))] if follows_mode else []
        body = ast.Call(target, [name("x"), *extra], [*mode, ast.keyword(None, own("kwargs"))])
        stored: list[ast.stmt] = [
            ast.Expr(call(ast.Attribute(call("super"), "__init__", ast.Load()))),
            ast.Assign([ast.Attribute(name("self"), "args", ast.Store())], name("args")),
            ast.Assign([ast.Attribute(name("self"), "kwargs", ast.Store())], name("kwargs")),
        ]
        arguments = ast.arguments(
            [],
            [ast.arg("self")],
            ast.arg("args", name("object")),
            [],
            [],
            ast.arg("kwargs", name("object")),
            [],
        )
        forward = function(
            "forward", parameters([("x", name("Tensor"), None)]), [ast.Return(body)], name("Tensor")
        )
        return class_(
            title,
            "nn.Module",
            f"`{operation}` as a layer.",
            [function("__init__", arguments, stored, ast.Constant(None)), forward],
        )

    def _operation_target(self, operation: str) -> ast.expr:
        if operation in self.plugins.operations:
            return self.plugin_operation(operation)
        if operation in OPERATIONS:
            return self.names.function(OPERATIONS[operation])
        self.names.used.add("torch")
        return dotted(f"torch.Tensor.{operation}")

    def initialisers_of(self, state: BlockState, title: str) -> set[Expression | None]:
        """Return the expressions that initialise a tensor of a block instance, wherever the instance is."""
        rows = self.rows.get((id(state), title), [])
        return {row.initialisation.expression if row.initialisation else None for row in rows} or {None}

    def is_root(self, group: ClassGroup) -> bool:
        return group.definition is self.inferred.program.model

    def ties_of(self, group: ClassGroup) -> list[Tie]:
        """Return the ties that the constructor of a class makes, from its own instance."""
        return self.ties.get(group.definition, [])

    def frozen_paths(self) -> list[tuple[Step, ...]]:
        """Return the frozen parameters, whole modules where all inside is frozen."""
        frozen = {row.name for row in self.plan.parameters if not row.trainable}
        table, found = self.plan.table, dict[tuple[Step, ...], None]()
        if not frozen:
            return []
        rows = [
            (row.kind == "parameter", self.plan.by_name[row.name].name in frozen) for row in table.tensors
        ]
        parameters = list(accumulate((is_one for is_one, _ in rows), initial=0))
        hit = list(accumulate((is_one and is_frozen for is_one, is_frozen in rows), initial=0))
        for module in table.modules[1:]:
            _, inside = table.inside[module.steps]
            count = parameters[inside.stop] - parameters[inside.start]
            if count and hit[inside.stop] - hit[inside.start] == count and not _within(module.steps, found):
                found[module.steps] = None
        single = [r.steps for r in table.tensors if r.name in frozen and r.kind == "parameter"]
        return [*found, *[steps for steps in single if not _within(steps, found)]]


def _not_a_value(recipe: Recipe) -> SpecError:
    return refuse(
        "not-a-value",
        f"`{recipe}` is a layer that a block is given, and is computed with",
        recipe.call.span,
        help="an expression may ask for the length of a list of layers, and whether a layer is `None`",
    )


def _within(steps: tuple[Step, ...], found: Container[tuple[Step, ...]]) -> bool:
    """Say whether a path is one of those found, or inside of one."""
    return any(steps[:length] in found for length in range(len(steps) + 1))


def emit_tree(inferred: Inferred, plan: Plan, moves: Moves) -> tuple[ast.Module, str]:
    """Return the tree of the emitted file, and the name of its root class."""
    emitter = ModuleEmitter(inferred, plan, moves)
    return emitter.emit(), emitter.root.title
