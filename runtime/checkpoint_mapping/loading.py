"""Values from checkpoints, as the load plan says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from compiler.artifact import Artifact
from compiler.checkpoint_mapping.fitting import check_fit
from compiler.checkpoint_mapping.plan import Load, LoadPlan, plan_loads
from compiler.checkpoint_mapping.recipes import evaluate
from compiler.checkpoint_mapping.uses import checkpoint_uses
from compiler.rules.checkpoint_call import Surgery
from compiler.rules.plan import PlanRow
from runtime.checkpoint_mapping.files import Checkpoint, CheckpointError, missing, open_checkpoint
from spec_schema.diagnostics import Diagnostic, SpecError, refuse


def load_plan(artifact: Artifact, folder: str | Path | None = None) -> LoadPlan:
    """Return what the `checkpoint` rules of a spec do with every tensor of their files and of the model.

    The headers of the files are read, and no values. Paths are looked up from `folder`, by default that of the spec.

    Raises:
        SpecError: with everything that does not fit.
    """
    return CheckpointValues(artifact, folder).plan


def check_headers(artifact: Artifact, folder: str | Path) -> list[tuple[Surgery, CheckpointError]]:
    """Hold the checkpoints of a spec that are there against the model; return those that are not.

    Raises:
        SpecError: with everything that does not fit.
    """
    home, uses = Path(folder), checkpoint_uses(artifact)
    calls = {use.surgery.path: use.surgery for use in reversed(uses)}
    absent = [(call, missing(home / path)) for path, call in calls.items() if not os.path.exists(home / path)]
    gone = {call.path for call, _ in absent}
    there = [use for use in uses if use.surgery.path not in gone]
    opened = _open_all({path: call for path, call in calls.items() if path not in gone}, home)
    plan = plan_loads(artifact.plan, there, {path: each.headers for path, each in opened.items()})
    if not absent:
        check_fit(artifact, plan)
    return absent


@dataclass(eq=False)
class CheckpointValues:
    """Gives the tensors of a model that come from checkpoints. Nothing is opened before the first is asked for."""

    artifact: Artifact
    folder: str | Path | None = None
    _planned: tuple[LoadPlan, Mapping[str, Checkpoint]] | None = field(default=None, init=False)

    @property
    def plan(self) -> LoadPlan:
        """The load plan. SpecError, with all that does not fit, if there is none."""
        return self._opened()[0]

    def value(self, surgery: Surgery, row: PlanRow) -> Tensor:
        """Return what a call reads for a tensor of the model, in its dtype.

        Raises:
            SpecError: a file or a tensor does not fit, or names that are one tensor have different values.
        """
        plan, checkpoints = self._opened()
        load, checkpoint = plan.of(surgery, row), checkpoints[surgery.path]

        def read(name: str) -> Tensor:
            try:
                return checkpoint.read(name)
            except CheckpointError as error:
                raise SpecError([_located(error, surgery)]) from None

        names = list(load.recipes)
        value = evaluate(load.recipes[names[0]], read)
        for name in names[1:]:
            _same(load, surgery, names[0], value, name, evaluate(load.recipes[name], read))
        # Copied, since the memory of the file is not aligned as torch's own: products would differ in the last bit.
        return torch.empty(value.shape, dtype=row.dtype).copy_(value)

    def shape(self, surgery: Surgery, row: PlanRow) -> tuple[int, ...]:
        """Return the shape of `value`, from the headers alone."""
        return self.plan.of(surgery, row).shape

    def _opened(self) -> tuple[LoadPlan, Mapping[str, Checkpoint]]:
        if self._planned is None:
            uses = checkpoint_uses(self.artifact)
            home = self.artifact.folder if self.folder is None else Path(self.folder)
            checkpoints = _open_all({use.surgery.path: use.surgery for use in reversed(uses)}, home)
            headers = {path: checkpoint.headers for path, checkpoint in checkpoints.items()}
            plan = plan_loads(self.artifact.plan, uses, headers)
            check_fit(self.artifact, plan)
            self._planned = plan, checkpoints
        return self._planned


def _open_all(surgeries: Mapping[str, Surgery], home: Path) -> dict[str, Checkpoint]:
    """Open every checkpoint of a spec, or report what is wrong with each."""
    found, problems = {}, []
    for path, surgery in surgeries.items():
        try:
            found[path] = open_checkpoint(home / path)
        except CheckpointError as error:
            problems.append(_located(error, surgery))
    if problems:
        raise SpecError(problems)
    return found


def _located(error: CheckpointError, surgery: Surgery) -> Diagnostic:
    return Diagnostic(error.code, error.message, surgery.path_place, notes=error.notes, help=error.help)


def _same(load: Load, surgery: Surgery, first: str, value: Tensor, second: str, other: Tensor) -> None:
    """Refuse different values of names that are one tensor."""
    if bits_equal(value, other):
        return
    raise refuse(
        "checkpoint-tied",
        f"`{first}` and `{second}` differ in `{surgery.path}`, and are one tensor of the model",
        surgery.place,
        notes=(_difference(value, other),),
        help=f"leave one of them out with `skip`, or do not share `{load.row.name}`",
    )


def _difference(value: Tensor, other: Tensor) -> str:
    """Return how much two tensors of one shape differ."""
    wide = torch.complex128 if value.is_complex() else torch.float64
    gap = (value.to(wide) - other.to(wide)).abs()
    count = int((gap != 0).sum())  # a NaN is no zero
    if not count:
        return "they differ in the signs of zeros or in dtype alone"
    largest = gap.nan_to_num(torch.inf).max()
    where = [int(at) for at in torch.unravel_index(gap.nan_to_num(torch.inf).argmax(), gap.shape)]
    return f"{count:,} of {gap.numel():,} values differ, by {float(largest):g} at {where}, where they do most"


def bits_equal(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are the same, bit for bit; a NaN is the same as itself."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    one, two = (each.contiguous().reshape(-1).view(torch.uint8) for each in (a, b))
    return torch.equal(one, two)
