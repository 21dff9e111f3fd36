"""Which tensors of a model are read from checkpoints: found by evaluating their initialisers without values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from compiler.artifact import Artifact
from compiler.checkpoint_mapping.plan import Use
from compiler.infer.on_meta import only_meta
from compiler.rules.checkpoint_call import Surgery
from compiler.rules.dry_run import DrySource
from compiler.rules.initialisation import InitEvaluator, reads_checkpoint
from compiler.rules.plan import Initialisation, PlanRow
from spec_schema.grammar import Expression
from spec_schema.selectors import names_of


class _Noting(DrySource):
    """Notes the calls of `checkpoint`, whatever an expression makes of them."""

    def __init__(self, row: PlanRow) -> None:
        super().__init__(row.shape, row.dtype)
        self.calls: dict[str, Surgery] = {}

    def checkpoint(self, surgery: Surgery) -> Tensor:
        self.calls[surgery.key] = surgery
        return super().checkpoint(surgery)


def checkpoint_uses(artifact: Artifact) -> list[Use]:
    """Return each tensor of a model that is read from a checkpoint, with the call that says how."""
    registered: Mapping[str, Any] = artifact.program.scope.plugins.initializers
    known: dict[tuple[Expression, str], list[Surgery]] = {}
    uses = []
    for row in artifact.plan.rows:
        found = row.initialisation
        if found is None or not reads_checkpoint(found.expression):
            continue
        key = (
            found.expression,
            repr(sorted(found.names.items())),
        )  # what a call says does not depend on the tensor
        if key not in known:
            known[key] = _calls(row, found, registered)
        scope = "".join(f"{name}." for name in names_of(found.scope))
        uses += [Use(row, surgery, scope) for surgery in known[key]]
    return uses


def _calls(row: PlanRow, initialisation: Initialisation, registered: Mapping[str, Any]) -> list[Surgery]:
    source = _Noting(row)
    with only_meta():
        InitEvaluator(initialisation.expression, initialisation.names, row.shape, source, registered).result()
    return list(source.calls.values())
