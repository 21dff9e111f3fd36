"""Materialise: from an artifact to a plain `nn.Module` with its values, ties, frozen parts and devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.infer.on_meta import undrawn
from compiler.other_devices import bytes_per_device
from compiler.rules.initialisation import reads_checkpoint
from compiler.rules.plan import PlanRow
from compiler.rules.without_values import constructed_on_meta
from runtime.classes import ARTIFACT, module_of
from runtime.construction import construct
from runtime.devices import memory_of
from runtime.freezing import keep_statistics
from runtime.initialise import FirstValues
from runtime.memory import MEMORY_SHARE, available_memory
from runtime.placement import Devices, settle, target_devices
from runtime.ties import keep_ties
from runtime.unsaved import keep_unsaved
from runtime.work import check_work
from spec_schema.collecting import collecting_seldom
from spec_schema.diagnostics import refuse

META = "meta"
"""The device whose tensors have no values."""

Values = Callable[[PlanRow], Tensor | None]
"""Gives the tensor of a row; None on the meta device, where it has no values."""


def build(
    artifact: Artifact,
    seed: int = 0,
    device: Devices = None,
    folder: str | Path | None = None,
    allow_large: bool = False,
    on_row: Callable[[PlanRow], None] = lambda row: None,
) -> nn.Module:
    """Return a model with first values that depend on the seed and on the names of its parameters alone.

    `device` overrides the spec's placement: one device for the whole model, or `{selector: device}`, rules that
    come after those of the spec. Checkpoints that the spec names are looked up from `folder`,
    if not given that of the spec. `allow_large` builds a model all the same that takes much memory, or whose first
    values take much work.
    `on_row` is called after each tensor, to show progress.

    Raises:
        SpecError: a device that the spec names is not there, a checkpoint does not fit, the model is too large for
            its device, or its first values take too much work.
        ValueError: there is no such `device`.
    """
    artifact = settle(artifact, device, allow_large)
    check_memory(artifact, artifact.plan.rows, allow_large)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        first_values = FirstValues(artifact, seed, folder, pool)
        check_work(artifact, artifact.plan.rows, allow_large, first_values.checkpoints)

        def values(row: PlanRow) -> Tensor | None:
            made = first_values(row) if _has_values(row) else None
            on_row(row)
            return made

        return assemble(artifact, values)


def assemble(artifact: Artifact, values: Values) -> nn.Module:
    """Return a model, settled on devices, whose tensors are what `values` gives for each row of the plan."""
    there = target_devices(artifact.plan)
    module = module_of(artifact)
    with collecting_seldom(), constructed_on_meta(), undrawn():
        model = construct(module, artifact.name)
    modules = dict(model.named_modules(remove_duplicate=False))
    for row in artifact.plan.rows:
        value = values(row)
        place(modules, row, None if value is None else value.to(there[row.device]).contiguous())
    setattr(model, ARTIFACT, artifact)
    keep_ties(model, artifact.plan)
    keep_unsaved(model, artifact)
    keep_statistics(model, artifact.plan)
    model.train()
    _check_complete(model, artifact)
    return model


def _has_values(row: PlanRow) -> bool:
    """Return whether a row has values where it is; what a checkpoint gives is held against it on each device."""
    reads = row.initialisation is not None and reads_checkpoint(row.initialisation.expression)
    return row.device != META or reads


def place(modules: Mapping[str, nn.Module], row: PlanRow, tensor: Tensor | None) -> None:
    """Put one tensor in all of its places, so that they are one. `modules` are those of the model, by their paths."""
    places = []
    for name in row.names:
        parent, _, attribute = name.rpartition(".")
        module = modules[parent]
        places.append((module._parameters if row.kind == "parameter" else module._buffers, attribute))
    value = _value(row, tensor) if tensor is not None else _made(row, places[0][0][places[0][1]])
    for held, attribute in places:
        held[attribute] = value  # type: ignore[assignment]


def _value(row: PlanRow, tensor: Tensor) -> Tensor:
    return nn.Parameter(tensor, requires_grad=row.trainable) if row.kind == "parameter" else tensor


def _made(row: PlanRow, held: Tensor | None) -> Tensor:
    """Return a tensor without values: that of the constructor if it is as the row says, and no plugin's."""
    own = row.source.of_torch or row.source.entry is not None
    if (
        own
        and held is not None
        and type(held) is (nn.Parameter if row.kind == "parameter" else Tensor)
        and held.is_meta
        and held.shape == row.shape
        and held.dtype == row.dtype
        and held.requires_grad == row.trainable
        and held.is_contiguous()
    ):
        return held
    return _value(row, torch.empty(row.shape, dtype=row.dtype, device=META))


def check_memory(artifact: Artifact, rows: Sequence[PlanRow], allow_large: bool) -> None:
    """Refuse tensors that do not fit into 80 % of the memory of their device."""
    needed: dict[torch.device, int] = {}
    there = target_devices(artifact.plan)
    for name, size in bytes_per_device(rows).items():
        needed[there[name]] = needed.get(there[name], 0) + size
    for device, size in needed.items():
        available = _memory(device)
        if available is not None and size > available * MEMORY_SHARE and not allow_large:
            where = "here" if device.type == "cpu" else f"on {device}"
            raise refuse(
                "too-large-to-build",
                f"the parameters take {size / 2**30:.1f} GiB, and "
                f"{available * MEMORY_SHARE / 2**30:.1f} GiB is the limit {where}",
                artifact.program.model.span,
                help="give `--allow-large`, or `allow_large=True` in Python, to build it all the same",
            )


def _memory(device: torch.device) -> int | None:
    """Return the bytes that a model may take on a device, None where torch does not tell or none are needed."""
    if device.type == "cpu":
        return available_memory()
    return memory_of(device)


def _check_complete(model: nn.Module, artifact: Artifact) -> None:
    """Make sure that no tensor was forgotten: each one is on a real device."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    meant = artifact.plan.by_name
    left = [name for name, tensor in tensors.items() if tensor.is_meta and meant[name].device != META]
    if left:
        raise RuntimeError(f"no value for {', '.join(left)}: a bug of Blockprint")
