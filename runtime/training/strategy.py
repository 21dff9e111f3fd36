"""A rank of a mesh as Lightning sees it: a process that trains alone. What ranks do together is done here.

Lightning's own strategies for ranks shard models and divide data themselves, in other ways, and write pickles. Here
the model is a part before Lightning has it, each loader gives a rank its share, and torch's FSDP adds up gradients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.strategies.strategy import TBroadcast
from torch import distributed, nn
from torch.optim import Optimizer

from runtime.mesh.attendance import note_checkpoint
from runtime.training.learner import Learner
from runtime.training.mesh_checkpoints import give_optimizer_state, save_together
from runtime.training.shares import Shares


class RankStrategy(SingleDeviceStrategy):
    """The strategy of one rank. Its parts stay where they are, and checkpoints are written by all ranks together."""

    def __init__(self, device: torch.device, shares: Shares) -> None:
        super().__init__(device)
        self.shares = shares

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the rank that says what there is to say."""
        return self.shares.rank == 0

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Wait for all ranks."""
        distributed.barrier()

    def broadcast(self, obj: TBroadcast, src: int = 0) -> TBroadcast:
        """Return what the first rank has."""
        told = [obj]
        distributed.broadcast_object_list(told, src)
        return told[0]

    def model_to_device(self) -> None:
        """Leave the model where it was made."""

    def teardown(self) -> None:
        """Leave the model where it is."""
        assert self.accelerator is not None
        self.precision_plugin.teardown()
        self.accelerator.teardown()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, all of it or nothing. All ranks call this."""
        save_together(checkpoint, Path(filepath), *self._trained())
        if self.is_global_zero:
            note_checkpoint()

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        """Give the optimizer this rank's part of what the checkpoint has."""
        (states,) = checkpoint["optimizer_states"]
        give_optimizer_state(*self._trained(), states)

    def _trained(self) -> tuple[nn.Module, Optimizer]:
        learner = self.lightning_module
        assert isinstance(learner, Learner)
        assert learner.optimizer is not None
        return learner.model, learner.optimizer
