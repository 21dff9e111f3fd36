"""What a model needs on each of its devices."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.rules.plan import Plan


@dataclass
class Need:
    """Bytes on one device. `gradients` are those of a training, which needs them beside the rest."""

    device: str
    parameters: int = 0
    buffers: int = 0
    gradients: int = 0

    @property
    def total(self) -> int:
        return self.parameters + self.buffers + self.gradients


def needs(plan: Plan) -> list[Need]:
    """Return the needs of each device, in the order of the model's tensors; a shared tensor counts once."""
    found: dict[str, Need] = {}
    for row in plan.rows:
        need = found.setdefault(row.device, Need(row.device))
        if row.kind == "buffer":
            need.buffers += row.bytes
        else:
            need.parameters += row.bytes
            need.gradients += row.bytes if row.trainable else 0
    return list(found.values())
