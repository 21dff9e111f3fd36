"""The table of a model's modules, parameters and buffers, expanded from its states with their dotted paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from compiler.infer.states import BlockState, Chain, Leaf, State
from compiler.program import ModuleBody, Rules, TensorEntry
from spec_schema.diagnostics import refuse
from spec_schema.limits import Limits
from spec_schema.selectors import Step
from spec_schema.source import Span

TORCH = "torch.nn."
"""What the modules of torch's layers begin with."""


@dataclass(frozen=True, eq=False)
class Place:
    """A module or a tensor at its path. `steps` lead to it from the root."""

    steps: tuple[Step, ...]

    @cached_property
    def name(self) -> str:
        return ".".join(step[0] for step in self.steps)


@dataclass(frozen=True, eq=False)
class ModuleRow(Place):
    """A module. `state` is None for one inside a layer of the catalogue."""

    state: State | None
    module: nn.Module | None


@dataclass(frozen=True, eq=False)
class TensorRow(Place):
    """A parameter or buffer. `owner` is the layer of the catalogue, or the block, that it belongs to."""

    tensor: Tensor
    kind: str
    persistent: bool
    owner: Leaf | BlockState
    module: nn.Module | None
    """The module of torch that holds it, inside a layer of the catalogue."""
    torch_steps: tuple[Step, ...]
    """The path within the layer of the catalogue, with torch's own types."""
    entry: TensorEntry | None
    span: Span

    @property
    def layer_steps(self) -> tuple[Step, ...]:
        """The path of the layer of the catalogue that holds it; its own path, for a tensor of a block."""
        return self.steps[: len(self.steps) - max(len(self.torch_steps) - 1, 0)]

    @cached_property
    def of_torch(self) -> bool:
        """Whether it is a tensor of torch's own layers alone: neither of a plugin's class, nor inside one."""
        module = self.owner.module if isinstance(self.owner, Leaf) else None
        for name, _ in self.torch_steps[1:]:
            if module is None or not type(module).__module__.startswith(TORCH):
                return False
            module = module._modules.get(name)
        return bool(self.torch_steps)


@dataclass(frozen=True, eq=False)
class RuleScope:
    """A block instance that holds rules, with the depth of its path."""

    steps: tuple[Step, ...]
    rules: Rules
    state: BlockState


@dataclass(eq=False)
class Table:
    """All modules and tensors of a model, in the order of its state dict."""

    modules: list[ModuleRow] = field(default_factory=list)
    tensors: list[TensorRow] = field(default_factory=list)
    scopes: list[RuleScope] = field(default_factory=list)

    @cached_property
    def by_name(self) -> Mapping[str, TensorRow]:
        return {row.name: row for row in self.tensors}

    @cached_property
    def _inside(self) -> Mapping[tuple[Step, ...], list[TensorRow]]:
        found: dict[tuple[Step, ...], list[TensorRow]] = {}
        for row in self.tensors:
            for length in range(len(row.steps) + 1):
                found.setdefault(row.steps[:length], []).append(row)
        return found

    def below(self, prefix: tuple[Step, ...]) -> list[TensorRow]:
        """Return the tensors inside a module."""
        return list(self._inside.get(prefix, ()))


def expand(root: BlockState, limits: Limits) -> Table:
    """Return the table of a model.

    Raises:
        SpecError: the model has more modules than the limit, counted before anything is expanded.
    """
    count = _count(root, {})
    if count > limits.modules:
        raise refuse(
            "too-many-modules",
            f"the model has {count:,} modules",
            root.definition.span,
            notes=(f"the limit is {limits.modules:,} modules",),
        )
    table = Table()
    _expand(table, root, ())
    return table


def used_children(state: BlockState) -> Iterator[tuple[str, State]]:
    """Yield the layers of a block that a call reaches: the others are not made."""
    everything = not isinstance(state.definition.body, ModuleBody) or state.definition.body.program is None
    for name, child in state.children.items():
        if everything or name in state.used:
            yield name, child


def _count(state: State, known: dict[State, int]) -> int:
    if state not in known:
        children: list[State] = []
        if isinstance(state, Chain):
            children = list(state.states)
        elif isinstance(state, BlockState):
            children = [child for _, child in used_children(state)]
        known[state] = 1 + sum(_count(child, known) for child in children)
    return known[state]


def _type(state: State) -> str:
    match state:
        case Leaf():
            return state.layer.name
        case BlockState():
            return state.definition.name
        case Chain():
            return "Sequential"
    return ""


def _expand(table: Table, state: State, steps: tuple[Step, ...]) -> None:
    table.modules.append(ModuleRow(steps, state, state.module if isinstance(state, Leaf) else None))
    match state:
        case Leaf():
            _expand_leaf(table, state, steps)
        case Chain():
            for name, child in zip(state.names, state.states, strict=True):
                _expand(table, child, (*steps, (name, _type(child))))
        case BlockState():
            _expand_block(table, state, steps)


def _expand_block(table: Table, state: BlockState, steps: tuple[Step, ...]) -> None:
    rules = state.definition.rules
    if rules.init or rules.share or rules.freeze or rules.placement:
        table.scopes.append(RuleScope(steps, rules, state))
    body = state.definition.body
    if isinstance(body, ModuleBody):
        for name, tensor in state.tensors.items():
            entry = body.tensors[name]
            table.tensors.append(
                TensorRow(
                    (*steps, (name, "")),
                    tensor,
                    entry.kind,
                    entry.persistent,
                    state,
                    None,
                    (),
                    entry,
                    entry.span,
                )
            )
    for name, child in used_children(state):
        _expand(table, child, (*steps, (name, _type(child))))


def _expand_leaf(table: Table, state: Leaf, steps: tuple[Step, ...]) -> None:
    if state.module is None:
        return
    for inner, module in state.module.named_modules(remove_duplicate=False):
        own = _inner_steps(state.module, inner)
        if inner:
            table.modules.append(ModuleRow((*steps, *own), None, module))
        torch_steps = (("", type(state.module).__name__), *own)
        for name, parameter in module._parameters.items():
            if parameter is not None:
                step = (name, "")
                table.tensors.append(
                    TensorRow(
                        (*steps, *own, step),
                        parameter,
                        "parameter",
                        True,
                        state,
                        module,
                        (*torch_steps, step),
                        None,
                        state.node.span,
                    )
                )
        for name, buffer in module._buffers.items():
            if buffer is not None:
                step = (name, "")
                persistent = name not in module._non_persistent_buffers_set
                table.tensors.append(
                    TensorRow(
                        (*steps, *own, step),
                        buffer,
                        "buffer",
                        persistent,
                        state,
                        module,
                        (*torch_steps, step),
                        None,
                        state.node.span,
                    )
                )


def _inner_steps(root: nn.Module, path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    module = root
    for part in path.split(".") if path else []:
        module = module._modules[part]  # type: ignore[assignment]
        steps.append((part, type(module).__name__))
    return tuple(steps)
