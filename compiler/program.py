"""The resolved program: the blocks of a spec with their names looked up, before any shape is known.

Every record is frozen and carries its span from birth.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from compiler.catalogue.plugins import Registry
from compiler.rule_records import Rules
from spec_schema.diagnostics import Diagnostic
from spec_schema.document import Document
from spec_schema.grammar import Expression, Program
from spec_schema.source import Span
from spec_schema.tensors import TensorType
from spec_schema.train_section import Train
from spec_schema.walk import walk

ValueTree = Expression | tuple["ValueTree", ...]
"""A compile-time value as it was written: an expression, or a list of values."""


BASE = ""
"""The name, among the layers of a block, of the layer that it extends: its tensors are the block's own."""
BASE_CALL = "base"
"""What a program calls it."""
TensorKind = Literal["parameter", "buffer"]
CallKind = Literal["layer", "block", "operation", "recipe"]


@dataclass(frozen=True, eq=False)
class Argument:
    """One argument of a call. `name` is None for a positional one."""

    name: str | None
    value: ValueTree
    span: Span
    name_span: Span | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """A layer of the catalogue, a block, an operation, or a block's argument used as a layer."""

    kind: CallKind
    target: str
    arguments: tuple[Argument, ...]
    span: Span
    target_span: Span
    scope: Scope = field(repr=False)

    @property
    def is_bare(self) -> bool:
        """Whether it is a name alone, without parentheses."""
        return self.span == self.target_span


@dataclass(frozen=True, eq=False)
class NameTemplate:
    """`denselayer{index + 1}`: texts and expressions in turn."""

    parts: tuple[str | Expression, ...]
    span: Span

    @property
    def expressions(self) -> list[Expression]:
        return [part for part in self.parts if isinstance(part, Expression)]


@dataclass(frozen=True, eq=False)
class Item:
    """An item of a sequence. One without a `name` or a `label` is named by its position.

    The `name` is the key, by which a state dict knows the layer.
    """

    name: str | None
    node: LayerNode
    span: Span
    label: NameTemplate | None = None

    @property
    def is_spread(self) -> bool:
        """Whether it stands for any number of layers: copies, or what a splice holds."""
        if self.name is not None or self.label is not None:
            return False
        return isinstance(self.node, Repeat) or (isinstance(self.node, Choice) and self.node.splices)


@dataclass(frozen=True, eq=False)
class Sequence:
    items: tuple[Item, ...]
    span: Span


@dataclass(frozen=True, eq=False)
class Splice:
    """Items that stand in the list around them, and in no list of their own."""

    items: tuple[Item, ...]
    span: Span


@dataclass(frozen=True, eq=False)
class Running:
    """A value that goes from copy to copy: `first` in the first one, and `after` computed from the one before."""

    name: str
    first: ValueTree
    after: ValueTree


@dataclass(frozen=True, eq=False)
class Repeat:
    """Copies of `of`. `names` are bound to the items of `over` when that is a list, `index` to its number."""

    over: ValueTree
    names: tuple[str, ...]
    of: LayerNode | Splice
    label: NameTemplate | None
    span: Span
    scope: Scope = field(repr=False)
    index: str = "index"
    running: tuple[Running, ...] = ()

    @property
    def bound(self) -> set[str]:
        """The names that each copy sees."""
        return {self.index, *self.names, *(each.name for each in self.running)}


@dataclass(frozen=True, eq=False)
class Choice:
    """One of two ways; where items are spliced, both ways are splices."""

    condition: Expression
    then: LayerNode | Splice
    otherwise: LayerNode | Splice | None
    span: Span

    @property
    def splices(self) -> bool:
        return isinstance(self.then, Splice)


@dataclass(frozen=True, eq=False)
class Reuse:
    """A layer that is already named in this scope, used again."""

    name: str
    span: Span


@dataclass(frozen=True, eq=False)
class Inline:
    """A definition written in place: a residual, branches in parallel, or a sequence that reuses its own layers.

    `captured` are the compile-time names of the surrounding block that it uses.
    """

    definition: Definition
    captured: tuple[str, ...]
    span: Span


LayerNode = Call | Sequence | Repeat | Choice | Reuse | Inline


@dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter of a block's signature."""

    name: str
    default: Expression | None
    span: Span


@dataclass(frozen=True, eq=False)
class Input:
    """An input of a forward program."""

    name: str
    default: Expression | None
    span: Span


@dataclass(frozen=True, eq=False)
class TensorEntry:
    """A parameter or buffer that a block holds itself."""

    name: str
    kind: TensorKind
    type: TensorType | None
    init: Expression | None
    value: Program | Expression | None
    persistent: bool
    span: Span
    updated: bool = False
    """Whether the block's program gives it new values."""


@dataclass(frozen=True, eq=False)
class ModuleBody:
    """Named layers and tensors, and a program over them; without a program the layers run in order.

    The layer that a block extends is the first of them, under the name `BASE`.
    """

    layers: Mapping[str, LayerNode]
    layer_spans: Mapping[str, Span]
    tensors: Mapping[str, TensorEntry]
    program: Program | None
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What programs call the layers whose keys they do not call them by."""

    def called(self, key: str) -> str:
        """Return what programs call a layer."""
        return self.aliases.get(key, key)

    @property
    def updated(self) -> frozenset[str]:
        """The buffers that the program may give new values."""
        return frozenset(name for name, entry in self.tensors.items() if entry.updated)


@dataclass(frozen=True, eq=False)
class SequenceBody:
    """Items that run in order. `reuses` says whether one of them runs again."""

    items: tuple[Item, ...]
    reuses: bool


@dataclass(frozen=True, eq=False)
class ResidualBody:
    items: tuple[Item, ...]
    combine: Call | None


@dataclass(frozen=True, eq=False)
class ParallelBody:
    branches: tuple[Item, ...]
    combine: Call


@dataclass(frozen=True, eq=False)
class CallBody(SequenceBody):
    """One call of a layer or a block, which the block is: it has no keys, no class and no instances of its own."""

    @property
    def call(self) -> Call:
        (item,) = self.items
        assert isinstance(item.node, Call)
        return item.node


BlockBody = ModuleBody | SequenceBody | ResidualBody | ParallelBody


@dataclass(frozen=True, eq=False)
class Definition:
    """A block: what one emitted class is made of."""

    name: str
    parameters: tuple[Parameter, ...]
    variables: Mapping[str, ValueTree]
    inputs: tuple[Input, ...]
    body: BlockBody
    rules: Rules
    scope: Scope = field(repr=False)
    span: Span
    doc: str | None = None

    @property
    def is_root(self) -> bool:
        return self is self.scope.model

    @property
    def is_node(self) -> bool:
        """Whether it is a model that is one node, which has no key in it: `model: Decoder(width)`."""
        match self.body:
            case ModuleBody(layers=layers, tensors=tensors, program=None):
                return self.is_root and {*layers} == {BASE} and not tensors
        return False


@dataclass(eq=False)
class Scope:
    """What the names of one spec file mean. Filled while the file is resolved, read only afterwards."""

    file: str
    variables: dict[str, object] = field(default_factory=dict)
    variable_trees: dict[str, ValueTree] = field(default_factory=dict)
    """What each variable is written as, by a caller that gives it another value too."""
    recipes: dict[str, ValueTree] = field(default_factory=dict)
    """The variables that are layers, or lists with layers in them."""
    variable_spans: dict[str, Span] = field(default_factory=dict)
    blocks: dict[str, Definition] = field(default_factory=dict)
    block_names: dict[str, Span] = field(default_factory=dict)
    plugins: Registry = field(default_factory=Registry)
    model: Definition | None = None
    rules: Rules | None = None
    """Those of a file that is imported, which come along with its blocks."""
    imported: dict[Definition, Definition] = field(default_factory=dict)
    """The blocks of the file as others import them."""
    deciding: set[str] = field(default_factory=set)
    """The names that the conditions of the spec's rules read, which are decided once."""

    @property
    def names(self) -> set[str]:
        """The names of all variables."""
        return {*self.variables, *self.recipes}


@dataclass(frozen=True, eq=False)
class ModelInput:
    """A declared input of the model."""

    name: str
    type: TensorType


@dataclass(frozen=True, eq=False)
class ResolvedProgram:
    """A whole spec, with every name looked up."""

    name: str
    document: Document
    scope: Scope
    model: Definition
    inputs: tuple[ModelInput, ...]
    sizes: Mapping[str, int]
    """Example sizes of the symbolic dimensions."""
    size_spans: Mapping[str, Span]
    train: Train | None
    variables: Mapping[str, object]
    """The values of the main file's variables."""
    passed_over: tuple[Diagnostic, ...] = ()
    """What is refused, and is as good as not there for the stages that follow."""

    def variables_of(self, scope: Scope) -> Mapping[str, object]:
        """Return the values of the variables that the blocks of a file see."""
        return self.variables if scope is self.scope else scope.variables


def names_in(tree: ast.AST) -> set[str]:
    """Return the names that an expression or program reads."""
    return {node.id for node in walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
