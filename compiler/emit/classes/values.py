"""The compile-time values of one class: what its constructor calls them, and the attributes that keep them."""

from __future__ import annotations

import ast
from functools import cached_property

from torch import nn

from compiler.emit.choose import Case
from compiler.emit.hidden import hidden_reads
from compiler.emit.names import Globals
from compiler.emit.runs import Runs
from compiler.emit.syntax import load_name
from compiler.infer.states import BlockState, base_of, node_of
from compiler.infer.values import holds_recipe
from compiler.placement.groups import ClassGroup
from compiler.program import ModuleBody, ValueTree
from compiler.resolve.layer_names import NOT_OF_VALUES


class ClassValues:
    """The values of one group of instances, by their names in the spec."""

    def __init__(self, group: ClassGroup, runs: Runs, names: Globals, is_root: bool) -> None:
        self.group, self.runs, self.names, self.is_root = group, runs, names, is_root
        self.definition = group.definition
        self.states = group.states
        self.cases = [Case(state, state.values) for state in self.states]
        self.lifted = runs.visible(self.definition)
        """The variables of the spec that its expressions see, and that are arguments of constructors."""
        self.computed = self._computed()
        """What the constructor computes: the variables of the block; in the model those of the spec too."""
        self.hidden = self._hidden()
        """The values that each variable of the block reads of the file, by names that the constructor hides."""
        self.plain = self._plain()
        """The names of all values but layers."""
        self.stored: dict[str, str] = {}
        """The attributes that the constructor sets, since a method reads them."""

    def _computed(self) -> dict[str, ValueTree]:
        trees = self.definition.scope.variable_trees
        of_the_file = self.runs.computed if self.is_root else []
        return {
            **{name: trees[name] for name in of_the_file if name in self.lifted},
            **self.definition.variables,
        }

    def _hidden(self) -> dict[str, dict[str, object]]:
        of_the_file = self.definition.scope.variables
        reads = hidden_reads(self.definition)
        return {name: {each: of_the_file[each] for each in names} for name, names in reads.items() if names}

    def _plain(self) -> dict[str, None]:
        first = self.states[0]
        names = [*first.arguments, *self.computed, *self.lifted]
        return {name: None for name in names if not holds_recipe(first.values[name])}

    @property
    def parameters(self) -> list[str]:
        """The parameters of the block that are arguments of the constructor."""
        return [each.name for each in self.definition.parameters if each.name in self.plain]

    @cached_property
    def layers(self) -> set[str]:
        """The names of layers and tensors, which are attributes."""
        body = self.definition.body
        return {*body.layers, *body.tensors} if isinstance(body, ModuleBody) else set()

    @cached_property
    def called(self) -> dict[str, str]:
        """The layers and tensors by the names that programs call them by, with the attributes that hold them."""
        body = self.definition.body
        return {body.called(name): name for name in self.layers} if isinstance(body, ModuleBody) else {}

    @cached_property
    def items(self) -> set[str]:
        """The names of the items of a list, which are attributes too."""
        return {name for state in self.states for name in state.children}

    @cached_property
    def base(self) -> nn.Module | None:
        """The layer that the block extends, or the one that the model is."""
        base = base_of(self.states[0]) or base_of(node_of(self.states[0]))
        return base.module if base is not None else None

    # What an expression makes of a name.

    def local(self, name: str) -> str:
        """Return what the constructor calls a value."""
        return self.names.in_constructor(name)

    @property
    def renamed(self) -> dict[str, ast.expr]:
        """The values as expressions of the constructor."""
        return {name: load_name(self.local(name)) for name in self.plain}

    @property
    def literals(self) -> dict[str, object]:
        """The values that are written as such: of the file, and those with layers in them."""
        first = self.states[0].values
        own_names = {*self.states[0].arguments, *self.definition.variables, *self.lifted}
        of_the_file = {k: v for k, v in self.definition.scope.variables.items() if k not in own_names}
        recipes = self.definition.scope.recipes.keys() - own_names
        own_names |= {name for name in recipes if name in first}
        return {**of_the_file, **{name: first[name] for name in own_names - self.plain.keys()}}

    @property
    def lists(self) -> set[str]:
        """The names of lists, which whoever makes an instance may give as tuples."""
        first = self.states[0].values
        lists = {name for name in self.plain if isinstance(first[name], list)}
        return lists if self.runs.variables else set()

    def is_variable(self, name: str, state: BlockState, value: object) -> bool:
        """Return whether a value of an instance is that of a variable of the spec."""
        return name in self.lifted and self.runs.variable_in(state, name) == value

    # Attributes.

    @property
    def members(self) -> dict[str, str]:
        """The attributes of the class by the names of what they hold: layers, tensors and values."""
        values = {name: self._attribute(name) for name in self.plain}
        return {**values, **self.called}

    def own(self, name: str) -> str | None:
        """Return the attribute for a value of the class, None if it has no such value."""
        return None if name not in self.plain or name in self.called else self._attribute(name)

    def keep(self, name: str) -> None:
        """Let the constructor store a value, which a method reads."""
        attribute = self.own(name)
        assert attribute is not None
        self.stored[name] = attribute

    @cached_property
    def _inherited(self) -> set[str]:
        """The attributes that the class of the block has which the model is."""
        blocks = [b for b in map(node_of, self.states) if isinstance(b, BlockState) and b not in self.states]
        values = {name for each in blocks for name in (*each.arguments, *each.definition.variables)}
        parts = {name for each in blocks for name in (*each.children, *each.tensors)}
        return parts | values | {f"{name}_" for name in values}

    def _attribute(self, name: str) -> str:
        taken = NOT_OF_VALUES | self.layers | self.items | {*dir(self.base)} | self._inherited
        attribute = name
        while attribute in taken or (attribute != name and attribute in self.plain):
            attribute += "_"
        return attribute
