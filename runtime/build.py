"""Materialise: from an artifact to a plain `nn.Module` with its values, ties, frozen parts and devices."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.plan import PlanRow
from runtime.classes import ARTIFACT, root_class
from runtime.devices import resolve_device
from runtime.freezing import keep_statistics
from runtime.initialise import FirstValues
from runtime.ties import keep_ties
from spec_schema.diagnostics import refuse

MEMORY_SHARE = 0.8

Values = Callable[[PlanRow], Tensor]


def build(
    artifact: Artifact,
    seed: int = 0,
    device: str | None = None,
    folder: str | Path | None = None,
    allow_large: bool = False,
    on_row: Callable[[PlanRow], None] = lambda row: None,
) -> nn.Module:
    """Return a model with first values that depend on the seed and on the names of its parameters alone.

    `device` overrides the spec's placement. Checkpoints that the spec names are looked up from `folder`,
    if not given that of the spec.
    `on_row` is called after each tensor, to show progress.

    Raises:
        SpecError: a device that the spec names is not there, a checkpoint does not fit, or the model is too
            large for its device.
        ValueError: there is no such `device`.
    """
    _check_memory(artifact, allow_large)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        first_values = FirstValues(artifact, seed, folder, pool)

        def values(row: PlanRow) -> Tensor:
            made = first_values(row)
            on_row(row)
            return made

        return assemble(artifact, values, device)


def assemble(artifact: Artifact, values: Values, device: str | None = None) -> nn.Module:
    """Return a model whose tensors are what `values` gives for each row of the plan."""
    cls = root_class(artifact)
    with torch.device("meta"):
        model = cls()
    for row in artifact.plan.rows:
        place(model, row, values(row).to(target_device(row, device)).contiguous())
    setattr(model, ARTIFACT, artifact)
    keep_ties(model, artifact.plan)
    keep_statistics(model, artifact.plan)
    model.train()
    if device != "meta":
        _check_complete(model)
    return model


def place(model: nn.Module, row: PlanRow, tensor: Tensor) -> None:
    """Put one tensor in all of its places, so that they are one."""
    value = nn.Parameter(tensor, requires_grad=row.trainable) if row.kind == "parameter" else tensor
    for name in row.names:
        parent, _, title = name.rpartition(".")
        module = model.get_submodule(parent)
        if row.kind == "parameter":
            module._parameters[title] = value  # type: ignore[assignment]
        else:
            module._buffers[title] = value


def target_device(row: PlanRow, override: str | None) -> torch.device:
    """Return the device of a row.

    Raises:
        SpecError: the spec names a device that is not there.
        ValueError: the override is not there.
    """
    if override is not None:
        return resolve_device(override)
    try:
        return resolve_device(row.device)
    except ValueError as error:
        rule = next(d for d in reversed(row.decisions) if d.section == "placement")
        raise refuse(
            "missing-device",
            str(error),
            rule.place,
            help="choose another one with `--device`, such as `--device cpu`",
        ) from None


def _check_memory(artifact: Artifact, allow_large: bool) -> None:
    """Refuse what does not fit into 80 % of the memory there is."""
    needed = sum(row.bytes for row in artifact.plan.rows)
    available = int(available_memory() * MEMORY_SHARE)
    if needed > available and not allow_large:
        raise refuse(
            "too-large-to-build",
            f"the parameters take {needed / 2**30:.1f} GiB, and "
            f"{available / 2**30:.1f} GiB is the limit here",
            artifact.program.model.span,
            help="give `--allow-large` to build it all the same",
        )


def available_memory() -> int:
    """Return the memory of this machine that is free for use, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def _check_complete(model: nn.Module) -> None:
    """Make sure that no tensor was forgotten: each one is on a real device."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    left = [name for name, tensor in tensors.items() if tensor.is_meta]
    if left:
        raise RuntimeError(f"no value for {', '.join(left)}: a bug of Blockprint")
