"""The table of a model's modules, parameters and buffers, expanded from its states with their dotted paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn
from torch.nn.utils import parametrize

from compiler.infer.states import (
    BlockState,
    Chain,
    Leaf,
    State,
    base_of,
    is_node,
    joined,
    places,
    row_items,
    row_length,
    step_to,
    used_children,
)
from compiler.program import BASE, ModuleBody, TensorEntry
from compiler.rule_records import InitRule, ParametrizeRule, Rules, SelectorRule
from compiler.rules.lookup import Lookup
from spec_schema.clock import check_time
from spec_schema.diagnostics import refuse
from spec_schema.limits import Limits
from spec_schema.selectors import Selector, Step
from spec_schema.source import Span

NOTHING = range(0), range(0)
TORCH = "torch.nn."
"""What the modules of torch's layers begin with."""


@dataclass(frozen=True, eq=False)
class RuleScope:
    """A block instance that holds rules, with the depth of its path.

    `rules` are those whose condition holds in it.
    """

    steps: tuple[Step, ...]
    rules: Rules
    state: BlockState
    bound: dict[Selector, Selector] = field(default_factory=dict)
    """The selectors with indices, computed with the values of this instance."""

    def selector(self, rule: InitRule | SelectorRule | ParametrizeRule) -> Selector:
        """Return the selector of a rule, as it is in this instance."""
        return self.bound[rule.selector] if rule.selector.indices else rule.selector

    @cached_property
    def init(self) -> Lookup[InitRule]:
        """The rules for first values, as they are in this instance."""
        return Lookup((self.selector(rule), rule) for rule in self.rules.init)

    @cached_property
    def freeze(self) -> Lookup[SelectorRule]:
        """The rules that freeze, as they are in this instance."""
        return Lookup((self.selector(rule), rule) for rule in self.rules.freeze)

    @cached_property
    def parametrize(self) -> Lookup[ParametrizeRule]:
        """The rules that parametrise, with their indices computed."""
        return Lookup((self.selector(rule), rule) for rule in self.rules.parametrize)


@dataclass(frozen=True, eq=False)
class TableRow:
    """A module or a tensor at its path. `steps` lead to it from the root."""

    steps: tuple[Step, ...]
    name: str
    scopes: tuple[RuleScope, ...]
    """The blocks with rules that it is inside of, or that it is, the innermost first."""


@dataclass(frozen=True, eq=False)
class ModuleRow(TableRow):
    """A module. `state` is None for one inside a layer of the catalogue; `module` is also what a block extends."""

    state: State | None
    module: nn.Module | None
    items: int | None
    """How many layers stand in a row in it, None where they do not."""


@dataclass(frozen=True, eq=False)
class TensorRow(TableRow):
    """A parameter or buffer. `owner` is the layer of the catalogue, or the block, that it belongs to."""

    tensor: Tensor
    kind: str
    persistent: bool
    owner: Leaf | BlockState
    span: Span
    entry: TensorEntry | None = None
    """Where a block declares it."""
    layer: ModuleRow | None = None
    """The layer of the catalogue that it is inside of, None for a tensor of a block."""
    module: nn.Module | None = None
    """The module of torch that holds it, inside a layer of the catalogue."""
    torch_steps: tuple[Step, ...] = ()
    """The path within the layer of the catalogue, with torch's own types."""
    of_torch: bool = False
    """Whether it is a tensor of torch's own layers alone: neither of a plugin's class, nor inside one."""

    @property
    def is_computed(self) -> bool:
        """Whether the block that declares it says what it is computed from."""
        return self.entry is not None and self.entry.value is not None


@dataclass(frozen=True, eq=False)
class Table:
    """All modules and tensors of a model, in the order of its state dict."""

    modules: tuple[ModuleRow, ...]
    tensors: tuple[TensorRow, ...]
    scopes: tuple[RuleScope, ...]
    inside: Mapping[tuple[Step, ...], tuple[range, range]]
    """Which modules and tensors are inside a module: they stand in a row. It is the first of its modules."""
    values: Mapping[str, object]
    """The compile-time names of the model."""

    @cached_property
    def by_name(self) -> Mapping[str, TensorRow]:
        return {row.name: row for row in self.tensors}

    def below(self, prefix: tuple[Step, ...]) -> tuple[TensorRow, ...]:
        """Return the tensors inside a module."""
        _, tensors = self.inside.get(prefix, NOTHING)
        return self.tensors[tensors.start : tensors.stop]

    def modules_below(self, prefix: tuple[Step, ...]) -> tuple[ModuleRow, ...]:
        """Return the modules inside a module, without itself."""
        modules, _ = self.inside.get(prefix, NOTHING)
        return self.modules[modules.start + 1 : modules.stop]


def root_scope(table: Table, root: BlockState) -> RuleScope:
    """Return the scope of the model, which holds the rules of the spec."""
    return next((scope for scope in table.scopes if scope.state is root), RuleScope((), Rules(), root))


def expand(root: BlockState, limits: Limits) -> Table:
    """Return the table of a model.

    Raises:
        SpecError: the model has more modules than the limit, counted before anything is expanded; or the condition of
            a rule cannot be computed.
    """
    count = _count(root, {})
    if count > limits.modules:
        raise refuse(
            "too-many-modules",
            f"the model has {count:,} modules",
            root.definition.span,
            notes=(f"the limit is {limits.modules:,} modules",),
        )
    found = _Expansion(root)
    found.state(root, TableRow((), "", ()))
    return Table(tuple(found.modules), tuple(found.tensors), tuple(found.scopes), found.inside, root.values)


def _count(state: State, known: dict[State, int]) -> int:
    if state not in known:
        children: list[State] = []
        if isinstance(state, Chain):
            children = list(state.states)
        elif isinstance(state, BlockState):
            children = [child for _, child in used_children(state)]
        known[state] = 1 + sum(_count(child, known) for child in children)
    return known[state]


@dataclass(frozen=True, eq=False)
class Part:
    """A module inside a layer of the catalogue, or the layer itself: its own tensors, and what is inside it."""

    step: Step
    module: nn.Module
    of_torch: bool
    tensors: tuple[tuple[tuple[Step, ...], Tensor, str, bool], ...]
    """The path from the layer with torch's own types, the value, the kind, and whether it is saved."""
    parts: tuple[Part, ...]


def _part(
    module: nn.Module,
    name: str = "",
    around: tuple[Step, ...] = (),
    torch_around: bool = True,
    place: tuple[int, int] | None = None,
) -> Part:
    cls = parametrize.type_before_parametrizations(module)  # from which torch derives a class of its own
    of_torch = torch_around and cls.__module__.startswith(TORCH)
    step = Step(name, cls.__name__, place)
    steps = (*around, step)
    parameters = [(name, each, "parameter", True) for name, each in module._parameters.items()]
    unsaved = module._non_persistent_buffers_set
    buffers = [(name, each, "buffer", name not in unsaved) for name, each in module._buffers.items()]
    tensors = [
        ((*steps, Step(name)), tensor, kind, saved)
        for name, tensor, kind, saved in (*parameters, *buffers)
        if tensor is not None
    ]
    inner = [(name, child) for name, child in module._modules.items() if child is not None]
    place_of = places(row_length(module))
    parts = [_part(child, name, steps, of_torch, next(place_of)) for name, child in inner]
    return Part(step, module, of_torch, tuple(tensors), tuple(parts))


@dataclass(eq=False)
class _Expansion:
    """Collects what a table holds."""

    root: BlockState
    modules: list[ModuleRow] = field(default_factory=list)
    tensors: list[TensorRow] = field(default_factory=list)
    scopes: list[RuleScope] = field(default_factory=list)
    inside: dict[tuple[Step, ...], tuple[range, range]] = field(default_factory=dict)
    layers: dict[Leaf, Part] = field(default_factory=dict)

    def state(self, state: State, at: TableRow) -> None:
        """Add a layer and all that is inside it."""
        check_time(self.root.definition.span)
        before = self._size()
        if isinstance(state, BlockState) and _has_any(state.definition.rules):
            rules = state.definition.rules.holding(state.values)
            scope = RuleScope(at.steps, rules, state)
            self.scopes.append(scope)
            at = TableRow(at.steps, at.name, (scope, *at.scopes))
        layer = state if isinstance(state, Leaf) else _base(state)
        module = layer.module if layer is not None else None
        row = ModuleRow(at.steps, at.name, at.scopes, state, module, row_items(state))
        self.modules.append(row)
        match state:
            case Leaf(module=nn.Module() as module):
                self._part(self._part_of(state, module), state, row, row)
            case Chain():
                self._children(zip(state.names, state.states, strict=True), row)
            case BlockState():
                self._block(state, row)
        self._note(at, before)

    def _block(self, state: BlockState, at: ModuleRow) -> None:
        body, base = state.definition.body, _base(state)
        before = len(self.tensors)
        part = self._part_of(base, base.module) if base is not None and base.module is not None else None
        if base is not None and part is not None:
            self._tensors(part, base, at, at)
        if isinstance(body, ModuleBody):
            for name, tensor in state.tensors.items():
                entry, own = body.tensors[name], _inside(at, Step(name))
                row = TensorRow(
                    own.steps,
                    own.name,
                    own.scopes,
                    tensor=tensor,
                    kind=entry.kind,
                    persistent=entry.persistent,
                    owner=state,
                    entry=entry,
                    span=entry.span,
                )
                self.tensors.append(row)
        if base is not None and part is not None:
            self.tensors[before:] = sorted(self.tensors[before:], key=lambda row: row.kind == "buffer")
            self._parts(part, base, at, at)
        layers = [(name, child) for name, child in used_children(state) if name != BASE or base is None]
        self._children(layers, at)

    def _part_of(self, leaf: Leaf, module: nn.Module) -> Part:
        if leaf not in self.layers:
            self.layers[leaf] = _part(module)
        return self.layers[leaf]

    def _children(self, children: Iterable[tuple[str, State]], row: ModuleRow) -> None:
        """Add the layers inside a module, each with its place if they stand in a row."""
        for (name, child), place in zip(children, places(row.items), strict=False):
            self.state(child, _inside(row, step_to(name, child, place)))

    def _part(self, part: Part, leaf: Leaf, layer: ModuleRow, at: TableRow) -> None:
        self._tensors(part, leaf, layer, at)
        self._parts(part, leaf, layer, at)

    def _tensors(self, part: Part, leaf: Leaf, layer: ModuleRow, at: TableRow) -> None:
        around, name, scopes, span = at.steps, at.name, at.scopes, leaf.node.span
        module, of_torch = part.module, part.of_torch
        for steps, tensor, kind, saved in part.tensors:
            step = steps[-1]
            own = (*around, step), joined(name, step.name), scopes
            row = TensorRow(*own, tensor, kind, saved, leaf, span, None, layer, module, steps, of_torch)
            self.tensors.append(row)

    def _parts(self, part: Part, leaf: Leaf, layer: ModuleRow, at: TableRow) -> None:
        for inner in part.parts:
            before, place = self._size(), _inside(at, inner.step)
            items = row_length(inner.module)
            self.modules.append(ModuleRow(place.steps, place.name, place.scopes, None, inner.module, items))
            self._part(inner, leaf, layer, place)
            self._note(place, before)

    def _size(self) -> tuple[int, int]:
        return len(self.modules), len(self.tensors)

    def _note(self, at: TableRow, before: tuple[int, int]) -> None:
        modules, tensors = map(range, before, self._size())
        self.inside[at.steps] = modules, tensors


def _base(state: State) -> Leaf | None:
    """Return the layer that a block extends. That of a model which is one node is a module of its own here."""
    return None if is_node(state) else base_of(state)


def _inside(around: TableRow, step: Step) -> TableRow:
    name = joined(around.name, step.name)
    return TableRow((*around.steps, step), name, around.scopes)


def _has_any(rules: Rules) -> bool:
    return bool(rules.init or rules.share or rules.freeze or rules.placement or rules.parametrize)
