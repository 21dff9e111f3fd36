"""The file that is being written: its names, its functions, which class each instance is of, and its helpers."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.catalogue.layers import LayerType
from compiler.catalogue.parametrization_table import ParametrizationType
from compiler.catalogue.plugin_files import import_name
from compiler.catalogue.plugins import Registry
from compiler.emit.bound import bound_names, called_names, layer_names
from compiler.emit.dtypes import CONVERTED, CONVERTED_SOURCE
from compiler.emit.laws import ORTHOGONAL, ORTHOGONAL_SOURCE
from compiler.emit.literals import literal
from compiler.emit.names import Globals
from compiler.emit.optional import Optional
from compiler.emit.rules import ties_by_block
from compiler.emit.runs import Runs
from compiler.emit.syntax import dotted, load_name, renamed
from compiler.emit.transfers import RELAY, RELAY_SOURCE
from compiler.infer.build import Builder
from compiler.infer.infer import Inferred
from compiler.infer.states import BlockState
from compiler.placement.groups import ClassGroup, class_groups, group_key, several_classes
from compiler.placement.transfers import Transfers
from compiler.program import Call, Inline
from compiler.rules.plan import Plan, Tie


@dataclass(eq=False)
class EmittedFile:
    """One file."""

    runs: Runs
    moves: Transfers = field(default_factory=Transfers)
    names: Globals = field(default_factory=Globals)
    functions: list[ast.stmt] = field(default_factory=list)
    """The functions that make computed buffers."""
    resetting: set[str] = field(default_factory=set)
    """The classes that give first values."""
    _relay: str | None = None
    _converting: str | None = None

    def __post_init__(self) -> None:
        self.inferred: Inferred = self.runs.all[0].inferred
        self.plan: Plan = self.runs.all[0].plan
        self.builder = Builder(self.inferred.limits)
        self.plugins: Registry = self.inferred.plugins
        self.call_kinds = self.runs.call_kinds
        self.optional = Optional(self.runs)
        self.groups = class_groups(*(run.inferred.root for run in self.runs.all))
        self.root = self.groups[group_key(self.inferred.root)]
        self.ties = ties_by_block(self.plan)
        self._take_names()

    def _take_names(self) -> None:
        """Keep names for what specs and plugins call by theirs, and give each class its own: the model first."""
        self.names.reserve(
            [
                *self.plugins.operations,
                *(each.__name__ for each in self.plugins.initializers.values()),
                *(e.cls.__name__ for e in self.plugins.layers.values()),
                *(e.cls.__name__ for e in self.plugins.parametrizations.values() if e.cls is not None),
            ]
        )
        definitions = [group.definition for group in self.groups.values()]
        self.names.bound = {t for each in definitions for t in bound_names(each) | layer_names(each)}
        self.names.called = {name for each in definitions for name in called_names(each)}
        for group in (self.root, *(each for each in self.groups.values() if each is not self.root)):
            group.name = self.names.unique(group.definition.name)

    @property
    def brought(self) -> int:
        """How many arguments classes have that no block of the spec has."""
        return sum(len(group.extras) + len(group.variables) for group in self.groups.values())

    def once_more(self) -> EmittedFile:
        """Return the file with nothing written yet, whose classes have the arguments that these came to have."""
        file = EmittedFile(self.runs, self.moves)
        for key, group in file.groups.items():
            group.extras, group.variables = self.groups[key].extras, self.groups[key].variables
        return file

    # Classes of instances.

    def group_of(self, states: Sequence[BlockState], node: Call | Inline) -> ClassGroup:
        """Return the class of instances that one node makes."""
        keys = {group_key(state) for state in states}
        if len(keys) > 1:
            raise several_classes(node.span, len({recipes for _, recipes, _ in keys}) > 1)
        return self.groups[keys.pop()]

    def is_root(self, group: ClassGroup) -> bool:
        return group.definition is self.inferred.program.model

    def ties_of(self, group: ClassGroup) -> list[Tie]:
        """Return the ties that the constructor of a class makes, from its own instance."""
        return self.ties.get(group.definition, [])

    # Names of what the file imports, or has a helper for.

    def nn(self, name: str) -> str:
        """Return the name of a class of torch.nn, and note that it is used."""
        self.names.used.add("nn")
        return f"nn.{name}"

    def layer(self, layer: LayerType) -> ast.expr:
        """Return the expression for the class of a layer."""
        if layer.source == "torch.nn":
            return dotted(self.nn(layer.name))
        return load_name(self.names.plugin(layer.cls.__name__, import_name(layer.cls)))

    def parametrization(self, found: ParametrizationType) -> ast.expr:
        """Return the expression for the class of a plugin's parametrisation."""
        cls: Any = found.cls
        return load_name(self.names.plugin(cls.__name__, import_name(cls)))

    def plugin_operation(self, name: str) -> ast.expr:
        return load_name(self.names.plugin(name, import_name(self.plugins.operations[name])))

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

    def helpers(self) -> list[ast.stmt]:
        """Return the helpers that were asked for: the same text in every file that has them, but for their names."""
        found = [renamed(RELAY_SOURCE, self._relay)] if self._relay is not None else []
        found += [renamed(ORTHOGONAL_SOURCE, ORTHOGONAL)] if ORTHOGONAL in self.names.used else []
        found += [renamed(CONVERTED_SOURCE, self._converting)] if self._converting is not None else []
        return found
