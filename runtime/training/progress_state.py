"""How a checkpoint counts steps: as Lightning does where it takes them itself, whoever took them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

AUTOMATIC = "epoch_loop.automatic_optimization.optim_progress"
MANUAL = "epoch_loop.manual_optimization.optim_step_progress"
LOOP, BATCHES, LOGGED = "epoch_loop.state_dict", "epoch_loop.batch_progress", "_batches_that_stepped"


def as_automatic(checkpoint: MutableMapping[str, Any], accumulate: int) -> None:
    """Count the steps of a manual optimization as those of an automatic one."""
    loop = checkpoint["loops"]["fit_loop"]
    total = checkpoint["global_step"]
    current = -(-loop[BATCHES]["current"]["ready"] // accumulate)
    loop[LOOP] = {**loop[LOOP], LOGGED: total}
    loop[MANUAL] = _counted(0, 0, "ready", "completed")
    loop[AUTOMATIC] = {
        "optimizer": {
            "step": _counted(total, current, "ready", "completed"),
            "zero_grad": _counted(total, current, "ready", "completed", "started"),
        }
    }


def as_manual(checkpoint: MutableMapping[str, Any]) -> None:
    """Count the steps of a checkpoint as those of a manual optimization."""
    total = checkpoint["global_step"]
    checkpoint["loops"]["fit_loop"][MANUAL] = _counted(total, total, "ready", "completed")


def _counted(total: int, current: int, *stages: str) -> dict[str, dict[str, int]]:
    return {"total": dict.fromkeys(stages, total), "current": dict.fromkeys(stages, current)}
