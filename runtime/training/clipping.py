"""Gradients clipped where they lie on ranks: torch clips those of one mesh, and layers may lie on several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import Tensor, distributed

from runtime.sharded import gathered, local, on_mesh

SMALL = 1e-6
"""What torch adds to a norm before it divides by it."""


def clip_gradients(parameters: Iterable[Tensor], largest: float, by: str) -> None:
    """Clip the gradients of parameters that may lie on several meshes, as torch does those of one process."""
    gradients = [each.grad for each in parameters if each.grad is not None]
    if by == "value":
        for each in gradients:
            local(each).clamp_(-largest, largest)
    elif gradients:
        factor = (largest / (total_norm(gradients) + SMALL)).clamp(max=1.0)
        for each in gradients:
            local(each).mul_(factor.to(each.device))


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of tensors together, of which ranks have parts or copies. All ranks call this."""
    whole = [gathered(each) if _is_partial(each) else each for each in tensors]
    squares = [torch.linalg.vector_norm(local(each)).square() / copies(each) for each in whole]
    found = torch.stack([each.to(squares[0].device) for each in squares]).sum()
    distributed.all_reduce(found)
    return found.sqrt()


def copies(tensor: Tensor) -> int:
    """Return how many ranks hold each number of a tensor."""
    ranks = distributed.get_world_size()
    if not on_mesh(tensor):
        return ranks
    mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
    parts: int = prod(mesh.size(dim) for dim, each in enumerate(placements) if not each.is_replicate())
    return ranks // parts


def _is_partial(tensor: Tensor) -> bool:
    """Return whether ranks have parts of a sum."""
    return on_mesh(tensor) and any(each.is_partial() for each in tensor.placements)  # type: ignore[attr-defined]
