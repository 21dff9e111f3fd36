"""The tree of a model: what each layer returns, how many parameters it has and how many operations it takes.

Everything is read off one forward of the model on the meta device: nothing is allocated, and equal layers run once.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, islice
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from compiler.artifact import Artifact
from compiler.infer.block_parameters import float_dtype
from compiler.infer.chosen import AllChosen
from compiler.infer.dtypes import default_dtype
from compiler.infer.infer import sample_inputs
from compiler.infer.named_size import UnknownSizeError
from compiler.infer.on_meta import meta_device, undrawn
from compiler.infer.symbols import shape_text, symbolic_sizes
from compiler.rules.plan import PlanRow
from compiler.rules.without_values import answered_on_meta
from runtime.classes import root_class
from runtime.equal_calls import Ended, EqualCalls
from runtime.named_dimensions import NamedDimensions, named_inputs
from runtime.operations import Operations
from runtime.samples import in_order

SYMBOLIC_SECONDS = 10.0
"""Of CPU. A model that takes longer over symbols is shown with its example sizes."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class TensorForm:
    """The dtype and the shape of a value; `shape` has the names of symbolic dimensions where they are sure."""

    dtype: str
    shape: str

    def __str__(self) -> str:
        return f"{self.dtype}{self.shape}"


Form = TensorForm | tuple["Form", ...] | dict[str, "Form"] | None
"""What a layer returns: a tensor, several of them, or nothing that has a shape."""


@dataclass(frozen=True)
class Node:
    """A layer with all that is inside it. Tensors that other layers own count there alone."""

    path: str
    type: str
    output: Form
    parameters: int
    trainable: int
    flops: int
    shared: tuple[tuple[str, str], ...]
    """Its tensors that belong to another layer: the name here, and the canonical name."""
    children: tuple[Node, ...]
    copies: tuple[str, ...] = ()
    """The paths of equal layers in a row that this one stands for, itself the first."""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def frozen(self) -> bool:
        return self.parameters > 0 and self.trainable == 0

    @cached_property
    def likeness(self) -> object:
        """What two layers have in common that may be shown as one."""
        inside = tuple((child.name, child.likeness, len(child.copies)) for child in self.children)
        counts = (self.parameters, self.trainable, self.flops, self.shared)
        return (self.type, repr(self.output), counts, inside)


@dataclass(frozen=True)
class Summary:
    """A model's tree and totals. `bytes` counts every parameter and buffer once."""

    root: Node
    inputs: Mapping[str, TensorForm]
    sizes: Mapping[str, int]
    """The sizes of the symbolic dimensions for which `flops` counts."""
    parameters: int
    trainable: int
    buffers: int
    bytes: int
    shared: tuple[tuple[str, tuple[str, ...]], ...]
    """Tensors with several names: the canonical one and the others."""

    @property
    def flops(self) -> int:
        """Operations of one forward; a multiplication and the addition of its result are two."""
        return self.root.flops


def summarise(artifact: Artifact) -> Summary:
    """Return the summary of a compiled spec."""
    rows = artifact.plan.rows
    parameters = [row for row in rows if row.kind == "parameter"]
    with meta_device(torch.float32), answered_on_meta(), undrawn():
        model = root_class(artifact)().eval()
    return Summary(
        _node(model, "", _counts(rows), _calls(artifact, model)),
        {name: _input_form(artifact, name, tensor) for name, tensor in artifact.inferred.inputs.items()},
        dict(artifact.program.sizes),
        sum(row.elements for row in parameters),
        sum(row.elements for row in parameters if row.trainable),
        sum(row.elements for row in rows if row.kind == "buffer"),
        sum(row.bytes for row in rows),
        tuple((row.name, row.names[1:]) for row in rows if len(row.names) > 1),
    )


def _input_form(artifact: Artifact, name: str, tensor: Tensor) -> TensorForm:
    declared = next(entry.type for entry in artifact.program.inputs if entry.name == name)
    return TensorForm(_dtype(tensor.dtype), f"[{', '.join(map(str, declared.dimensions))}]")


# --- the tree -------------------------------------------------------------------------------------------


@dataclass
class Count:
    """What is at a path and below: parameters that have their canonical name there, and other names."""

    parameters: int = 0
    trainable: int = 0
    borrowed: list[tuple[str, str]] = field(default_factory=list)


def _counts(rows: Iterable[PlanRow]) -> Mapping[str, Count]:
    counts: defaultdict[str, Count] = defaultdict(Count)
    for row in rows:
        if row.kind == "parameter":
            for path in _prefixes(row.name):
                counts[path].parameters += row.elements
                counts[path].trainable += row.elements * row.trainable
        for name in row.names[1:]:
            for path in set(_prefixes(name)) - set(_prefixes(row.name)):
                counts[path].borrowed.append((name, row.name))
    return counts


def _prefixes(name: str) -> list[str]:
    """Return the paths of all modules around a tensor, the root's, which is empty, first."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:length]) for length in range(len(parts) + 1)]


def _node(module: nn.Module, path: str, counts: Mapping[str, Count], calls: Mapping[str, Call]) -> Node:
    prefix = f"{path}." if path else ""
    inside = module._modules.items() if _is_open(module) else ()
    children = [_node(child, f"{prefix}{name}", counts, calls) for name, child in inside if child is not None]
    count, call = counts.get(path, Count()), calls.get(path, Call())
    below = tuple(f"{child.path}." for child in children)
    borrowed = [(n.removeprefix(prefix), owner) for n, owner in count.borrowed if not n.startswith(below)]
    return Node(
        path,
        _type_name(module),
        call.output,
        count.parameters,
        count.trainable,
        call.flops,
        tuple(borrowed),
        tuple(collapse(children)),
    )


def _type_name(module: nn.Module) -> str:
    """Return the name that selectors have for the type of a layer: each list of layers is a `Sequential`."""
    return (
        "Sequential"
        if type(module) is nn.ModuleList
        else parametrize.type_before_parametrizations(module).__name__
    )


def _is_open(module: nn.Module) -> bool:
    """Return whether the inside of a module is the spec's: blocks and sequences, not what a layer is made of."""
    return type(module) in CONTAINERS or type(module).__module__.startswith("blockprint_")


def collapse(nodes: Iterable[Node]) -> Iterator[Node]:
    """Join nodes in a row that differ in their names alone."""
    for _, equal in groupby(nodes, key=lambda node: node.likeness):
        run = list(equal)
        yield replace(run[0], copies=tuple(node.path for node in run))


# --- one forward ----------------------------------------------------------------------------------------


@dataclass
class Call:
    """What the calls of one layer came to: the output of the first, the operations of all."""

    output: Form = None
    flops: int = 0
    seen: bool = False

    def add(self, ended: Ended) -> None:
        """Count one more call."""
        self.flops += ended.flops
        if not self.seen:
            self.output, self.seen = ended.output, True


def _calls(artifact: Artifact, model: nn.Module) -> dict[str, Call]:
    """Run the model without values: once, if names follow by rules, else also over torch's symbols for them."""
    try:
        return _named_calls(artifact, model)
    except Exception:  # Python and torch raise many kinds of errors where a size is no number
        calls = _plain_calls(artifact, model)
    for path, output in _symbolic_outputs(artifact, model).items():
        if path in calls:
            calls[path].output = output
    return calls


def _named_calls(artifact: Artifact, model: nn.Module) -> dict[str, Call]:
    """Run the model over example sizes with names.

    Raises:
        UnknownSizeError: they do not follow from the rules; what a plugin does, no rule sees.
    """
    if artifact.inferred.plugins.plugins:
        raise UnknownSizeError("a plugin")
    counter = Operations()
    with meta_device(torch.float32, all_steps=True), counter:
        inputs = named_inputs(artifact)
        with NamedDimensions(counter):
            return _record(artifact, model, inputs, lambda: counter.total)


def _plain_calls(artifact: Artifact, model: nn.Module) -> dict[str, Call]:
    """Run the model over example sizes alone."""
    from torch.utils.flop_counter import FlopCounterMode  # imports torch's compiler

    counter = FlopCounterMode(display=False)
    with meta_device(torch.float32, all_steps=True), counter:
        return _record(artifact, model, artifact.inferred.inputs, counter.get_total_flops)


def _symbolic_outputs(artifact: Artifact, model: nn.Module) -> dict[str, Form]:
    """Return the outputs with names of dimensions; none where torch cannot follow the model over symbols."""
    try:
        with symbolic_sizes(artifact.program.sizes) as symbols, meta_device(torch.float32):
            with float_dtype(default_dtype(artifact.program)):
                inputs = sample_inputs(artifact.program, symbols)
            calls = _record(artifact, model, inputs, lambda: 0, time.thread_time() + SYMBOLIC_SECONDS)
    except Exception:  # torch raises many kinds of errors over symbols, and the example sizes serve as well
        return {}
    return {path: call.output for path, call in calls.items()}


def _record(
    artifact: Artifact,
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    flops: Callable[[], int],
    until: float | None = None,
) -> dict[str, Call]:
    """Return the calls of each module by all of its paths. TimeoutError after `until`."""
    by_module: dict[nn.Module, Call] = {}
    paths = list(model.named_modules(remove_duplicate=False))
    equal = EqualCalls(artifact, flops)
    handles: list[RemovableHandle] = []
    for path, module in paths:
        if module not in by_module:
            by_module[module] = Call()
            handles += _watch(module, path, by_module[module], equal, until)
    calls = {path: by_module[module] for path, module in paths}
    equal.note = lambda ended: calls[ended.path].add(ended)
    try:
        with EitherWay(), equal.watching(paths):
            model(*in_order(artifact, inputs))
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _watch(
    module: nn.Module, path: str, call: Call, equal: EqualCalls, until: float | None
) -> Iterator[RemovableHandle]:
    starts: list[int] = []

    def before(*_: Any) -> None:
        if until is not None and time.thread_time() > until:
            raise TimeoutError
        starts.append(equal.flops())

    def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
        ended = Ended(path, equal.flops() - starts.pop(), form_of(output))
        equal.ended.append(ended)
        call.add(ended)

    yield module.register_forward_pre_hook(before)
    yield module.register_forward_hook(after)


class EitherWay(TorchFunctionMode):
    """Answers what a tensor without values cannot: the first time that a place of a call asks, yes, then no.

    So a loop over data runs once, and a choice is taken. Shapes agree on every way: the compiler checked. Masks choose
    everything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[FrameType, object]] = set()
        self.chosen = AllChosen()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = self.chosen.call(func, args, kwargs or {})
        if found is not None:
            return found[0]
        if func is not Tensor.__bool__:
            return func(*args, **(kwargs or {}))
        frame = sys._getframe(1)
        # Python compiles the condition of a loop twice, so it is told by where it is written.
        positions = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
        known = (frame, positions) in self.asked
        self.asked.add((frame, positions))
        return not known


def form_of(value: Any) -> Form:
    """Return the form of what a layer returned."""
    if isinstance(value, Tensor):
        return TensorForm(_dtype(value.dtype), shape_text(value))
    if isinstance(value, Mapping):
        return {str(key): form_of(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return tuple(form_of(part) for part in value)
    return None


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
