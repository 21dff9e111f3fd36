"""A training on several ranks: who they are, what each holds, and what a training has to be for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from compiler.artifact import Artifact
from compiler.training.section import PRECISIONS, Training
from runtime.devices import resolve_device
from runtime.placement import Devices
from runtime.training.data import Splits
from runtime.training.shares import Shares, shares_of
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.source import Span

BF16 = "bf16-mixed"
COMPUTED_IN: Mapping[str, torch.dtype | None] = {PRECISIONS[0]: None, BF16: torch.bfloat16}
"""What parameters are gathered and computed with in, by the precision of a training."""


@dataclass(frozen=True)
class OnRanks:
    """This rank's part of a model, and its share of the examples."""

    model: nn.Module
    shares: Shares


def build_on_ranks(
    artifact: Artifact,
    training: Training,
    sizes: Mapping[str, int],
    seed: int,
    device: Devices,
    allow_large: bool,
    agreed: tuple[object, ...],
) -> OnRanks:
    """Return this rank's part of a model that is trained. All ranks are given what is `agreed`.

    Raises:
        RankError: ranks are missing, too many, or disagree.
        SpecError: the spec has no mesh, or what is trained on one process is not on a mesh.
    """
    plan = artifact.mesh_of(sizes)
    if plan is None:
        raise refuse(
            "mesh-training",
            "a training was started on several ranks, and the spec does not say how the model lies on them",
            training.span,
            help="write it: `mesh: {axes: {dp: 2}, shard: dp}`",
        )
    _check_training(training)
    from runtime.mesh.build import build_part
    from runtime.mesh.ranks import check_agreement, device_mesh, join

    own = resolve_device("auto" if device is None else _one(device, training.span))
    join(own, plan)
    mesh = device_mesh(plan, own)
    check_agreement(artifact, plan, mesh, seed, *agreed)
    shares = shares_of(plan, mesh)
    folder: Path | None = artifact.folder
    dtype = COMPUTED_IN[training.precision]
    return OnRanks(build_part(artifact, plan, mesh, seed, own, folder, allow_large, dtype), shares)


def _one(device: Devices, place: Span) -> str:
    if isinstance(device, str):
        return device
    raise refuse("several-devices", "each rank of a mesh has one device", place, help="write `--device cuda`")


def _check_training(training: Training) -> None:
    """Refuse what is done on one process alone."""
    document, problems = training.span, []
    if training.ema is not None:
        message = "no average of the parameters is kept on a mesh"
        problems.append(Diagnostic("mesh-training", message, document, help="leave out `ema`"))
    if training.precision not in COMPUTED_IN:
        message = f"no training on a mesh has the precision {training.precision}"
        help = f"write `precision: {BF16}`, which scales no loss"
        problems.append(Diagnostic("mesh-training", message, document, help=help))
    if problems:
        raise SpecError(problems)


def check_shares(training: Training, splits: Splits, shares: Shares) -> None:
    """Refuse batches and splits that have no example for some ranks.

    Such a rank takes part in the last batch of an epoch with an example that does not count, but in a norm.
    """
    counts = {"batch": training.batch, "training data": len(splits.train)}
    for name, items in (("validation split", splits.validation), ("test split", splits.test)):
        counts |= {} if items is None else {name: len(items)}
    for name, count in counts.items():
        if count < shares.count:
            raise refuse(
                "mesh-training",
                f"the {name} has {count} examples, and {shares.count} ranks need one each",
                training.span,
                help="take fewer ranks that have examples of their own, or more examples",
            )
        last = count % training.batch
        if shares.synced and 0 < last < shares.count:
            raise refuse(
                "mesh-training",
                f"the last batch of the {name} has {last} examples, and norms over {shares.count} ranks need one each",
                training.span,
                help=f"choose another `batch`, such as {training.batch - 1}",
            )
