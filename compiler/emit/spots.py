"""Where the tensors of a model are in the source: the class whose constructor makes each, and its path from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from compiler.catalogue.copies import is_copied
from compiler.catalogue.padding import padding_row
from compiler.infer.states import BlockState, Leaf
from compiler.placement.groups import group_key
from compiler.rules.defaults import default_rules
from compiler.rules.initialisation import draws, reads_checkpoint
from compiler.rules.plan import Initialisation, Plan, PlanRow
from compiler.rules.table import ModuleRow, TensorRow
from spec_schema.grammar import Expression
from spec_schema.selectors import Step, names_of


@dataclass(frozen=True, eq=False)
class Spot:
    """One tensor of the plan, under its first name."""

    plan: PlanRow
    row: TensorRow
    block: ModuleRow
    """The block whose constructor makes it."""
    scope: BlockState | None
    """The block whose names its initialiser sees, None for torch's own, which sees those of the layer alone."""

    @property
    def initialisation(self) -> Initialisation:
        assert self.plan.initialisation is not None
        return self.plan.initialisation

    @property
    def state(self) -> BlockState:
        assert isinstance(self.block.state, BlockState)
        return self.block.state

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """The path from the block."""
        return _inner(self.row, self.block)

    @property
    def is_own(self) -> bool:
        """Whether the block holds the tensor itself."""
        return self.row.entry is not None

    @property
    def is_read(self) -> bool:
        """Whether it comes from a checkpoint."""
        return reads_checkpoint(self.initialisation.expression)

    @property
    def is_copied(self) -> bool:
        """Whether it begins as another tensor does."""
        return self.plan.copied is not None

    def sees(self, name: str) -> bool:
        """Return whether a name of its initialiser is one of a block, and not of the layer."""
        return self.scope is not None and name in self.scope.values


def spots(plan: Plan, blocks: Mapping[int, ModuleRow]) -> list[Spot]:
    """Return the tensors of a plan that have an initialiser and elements, in the order of the state dict."""
    states = {module.steps: module.state for module in plan.table.modules}
    return [
        Spot(row, row.source, blocks[id(row.source)], _scope(row, states))
        for row in plan.rows
        if row.initialisation is not None and row.elements
    ]


def blocks_around(plan: Plan) -> Mapping[int, ModuleRow]:
    """Return the innermost block around each tensor, by the tensor's identity."""
    found: dict[int, ModuleRow] = {}
    for module in plan.table.modules:
        if isinstance(module.state, BlockState):  # those inside come later
            found |= dict.fromkeys(map(id, plan.table.below(module.steps)), module)
    return found


def _scope(row: PlanRow, states: Mapping[tuple[Step, ...], object]) -> BlockState | None:
    assert row.initialisation is not None
    if is_default(row):
        return None
    state = states[row.initialisation.scope]
    assert isinstance(state, BlockState)
    return state


def is_default(row: PlanRow) -> bool:
    """Return whether a tensor has torch's own first values."""
    return row.initialisation is not None and id(row.initialisation.expression) in _default_values()


@cache
def _default_values() -> frozenset[int]:
    return frozenset(id(rule.value) for rule in default_rules())


@lru_cache(maxsize=4096)
def _default_value(steps: tuple[Step, ...]) -> Expression | None:
    """Return torch's own initialiser for a tensor, by its path from the layer that has it."""
    matching = [rule.value for rule in default_rules() if rule.selector.matches(steps)]
    return matching[-1] if matching else None


def is_drawn_by_layer(spot: Spot) -> bool:
    """Return whether the constructor of a layer gives its tensor just what the plan says."""
    row, plan, made = spot.row, spot.plan, spot.initialisation
    if spot.is_own or not row.of_torch or not is_default(plan):
        return False
    padded = {padding_row(row.module, row.steps[-1].name)}
    if _default_value(row.torch_steps) is not made.expression or not set(plan.zero_rows) <= padded:
        return False
    layer = row.owner.module if isinstance(row.owner, Leaf) else None
    return not (is_copied(layer, row.tensor.ndim) and draws(made.expression, made.names, {}))


def present(
    plans: Iterable[tuple[Plan, Mapping[int, ModuleRow]]],
) -> Mapping[tuple[object, tuple[str, ...]], set[BlockState]]:
    """Return the instances of each class that have a tensor at a path."""
    keys: dict[BlockState, object] = {}
    found: dict[tuple[object, tuple[str, ...]], set[BlockState]] = {}
    for row, block in ((row, blocks[id(row)]) for plan, blocks in plans for row in plan.table.tensors):
        assert isinstance(block.state, BlockState)
        if block.state not in keys:
            keys[block.state] = group_key(block.state)
        found.setdefault((keys[block.state], _inner(row, block)), set()).add(block.state)
    return found


def _inner(row: TensorRow, block: ModuleRow) -> tuple[str, ...]:
    return names_of(row.steps[len(block.steps) :])


def by_class(found: list[Spot]) -> dict[object, dict[tuple[str, ...], list[Spot]]]:
    """Return the tensors by the class that makes them, and by their path in it."""
    result: dict[object, dict[tuple[str, ...], list[Spot]]] = {}
    keys = {state: group_key(state) for state in {spot.state for spot in found}}
    for spot in found:
        result.setdefault(keys[spot.state], {}).setdefault(spot.inner, []).append(spot)
    return result
