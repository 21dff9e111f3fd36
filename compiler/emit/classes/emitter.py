"""One class of the emitted file, put together: its constructor, its first values, its presets and its `forward`."""

from __future__ import annotations

import ast

from compiler.emit.bound import bound_names, expressions_in
from compiler.emit.choose import Chooser
from compiler.emit.classes.computed import ComputedValues
from compiler.emit.classes.constructor import ConstructorEmitter
from compiler.emit.classes.forward import ForwardEmitter
from compiler.emit.classes.layers import ClassLayers
from compiler.emit.classes.presets import preset_methods
from compiler.emit.classes.reset import is_called_by_base, reset_method
from compiler.emit.classes.spec_variables import SpecVariables
from compiler.emit.classes.translation import ClassTranslation
from compiler.emit.classes.values import ClassValues
from compiler.emit.expressions import Translator
from compiler.emit.file import EmittedFile
from compiler.emit.initialise import FirstValues
from compiler.emit.nodes import NodeEmitter
from compiler.emit.operations import OperationEmitter
from compiler.emit.parametrize import parametrize_statements
from compiler.emit.rules import freeze_statements, tie_statements, train_method
from compiler.emit.scope import ConstructorScope
from compiler.emit.syntax import class_
from compiler.emit.tensors import TensorEmitter
from compiler.placement.groups import ClassGroup
from compiler.resolve.calls import nodes_of
from compiler.resolve.values import free_names
from spec_schema.clock import check_time
from spec_schema.grammar import Expression


class ClassEmitter:
    """Emits the class of one group of instances."""

    def __init__(
        self, file: EmittedFile, group: ClassGroup, operations: OperationEmitter, first_values: FirstValues
    ) -> None:
        self.file, self.group, self.definition, self.first_values = (
            file,
            group,
            group.definition,
            first_values,
        )
        self.values = ClassValues(group, file.runs, file.names, file.is_root(group))
        chooser = self._chooser()
        self.variables = SpecVariables(self.values, chooser)
        scope = self._scope(chooser)
        tensors = TensorEmitter(scope, first_values, self.values.cases)
        self.layers = ClassLayers(self.values, NodeEmitter(scope, operations), tensors, file)
        self.forward = ForwardEmitter(ClassTranslation(self.values, file))
        computed = ComputedValues(self.values, scope)
        self.constructor = ConstructorEmitter(self.values, computed, self.variables)

    def _chooser(self) -> Chooser:
        """Return what chooses how values are written."""
        values, lifts = self.values, bool(self.file.runs.variables)
        bound = {values.local(name) for name in {*bound_names(self.definition), *values.lifted}}
        taken = {*values.plain, *values.layers} | bound
        return Chooser(self.group, taken, bound, values.local, lifts, lifts and values.is_root)

    def _scope(self, chooser: Chooser) -> ConstructorScope:
        values = self.values
        return ConstructorScope(
            self.file,
            self.group,
            Translator(values.names, values.literals, values.renamed, values.lists),
            chooser,
            self._expressions(),
            set(values.plain),
            values.computed,
            self.variables.given_on,
        )

    def _expressions(self) -> list[Expression]:
        found = [e for node in nodes_of(self.definition) for e in expressions_in(node)]
        return [e for e in found if free_names(e)]

    def emit(self) -> ast.ClassDef:
        """Return the class."""
        check_time(self.definition.span)
        forward = self.forward.emit()
        made = self.layers.emit()
        inherits = made.base in self.file.resetting
        reset = reset_method(self.values, self.first_values, self.layers.conditions, inherits)
        resets = reset is not None and not is_called_by_base(self.values.base, reset, inherits)
        if reset is not None:
            self.file.resetting.add(self.group.name)
        constructor = self.constructor.emit(made, self._rules(), resets, self._parametrized())
        methods = [
            constructor,
            reset,
            *(train_method(self.group, self.file.plan.frozen_modules) if self.values.is_root else []),
            *preset_methods(self.values),
            forward,
        ]
        body = [method for method in methods if method is not None]
        return class_(self.group.name, made.base, self._doc(), body)

    def _rules(self) -> list[ast.stmt]:
        """Return the statements that tie what the rules of the block say, and in the model freeze."""
        state = self.group.states[0]
        ties = tie_statements(state, self.file.ties_of(self.group))
        return ties + (freeze_statements(state, self.file.plan) if self.values.is_root else [])

    def _parametrized(self) -> list[ast.stmt]:
        return parametrize_statements(self.file, self.group.states[0]) if self.values.is_root else []

    def _doc(self) -> str | None:
        """Return the docstring: that of the block, and in the root what its weights are to be loaded from."""
        loading = self.first_values.loading() if self.values.is_root else []
        return "\n\n    ".join(filter(None, [self.definition.doc, *loading])) or None
