"""Which tensors of a model are read from checkpoints: found by evaluating their initialisers without values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from compiler.artifact import Artifact
from compiler.initialisation import DrySource, InitEvaluator, reads_checkpoint
from compiler.plan import PlanRow
from compiler.surgery.arguments import Surgery
from compiler.surgery.plan import Use


class _Noting(DrySource):
    """Notes the calls of `checkpoint`."""

    def __init__(self, row: PlanRow) -> None:
        super().__init__(row.shape, row.dtype)
        self.calls: dict[str, Surgery] = {}

    def checkpoint(self, surgery: Surgery) -> Tensor:
        self.calls[surgery.key] = surgery
        return super().checkpoint(surgery)


def checkpoint_uses(artifact: Artifact) -> list[Use]:
    """Return each tensor of a model that is read from a checkpoint, with the call that says how."""
    registered: Mapping[str, Any] = artifact.program.scope.plugins.initializers
    uses = []
    for row in artifact.plan.rows:
        found = row.initialisation
        if found is None or not reads_checkpoint(found.expression):
            continue
        source = _Noting(row)
        with torch.device("meta"):
            InitEvaluator(found.expression, found.names, row.shape, source, registered).result()
        scope = "".join(f"{step[0]}." for step in found.scope)
        uses += [Use(row, surgery, scope) for surgery in source.calls.values()]
    return uses
