"""Models whose tensors lie on several ranks: what a rank holds of each, and all of it again.

A tensor on a mesh is a `DTensor`. It is gathered alone, used and dropped, so that no rank ever holds more than its
own part and one whole tensor. All ranks gather the same tensors in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from runtime.windows import Window, cut, whole

ORDERS = "blockprint_orders"
"""The attribute of a model on a mesh that has the orders of rows, by the canonical name of a tensor."""
DTENSOR = "torch.distributed.tensor"
"""The module of torch that has the tensors on a mesh: where it was not imported, there are none."""

Orders = Mapping[str, Tensor]
"""Where each row of a tensor on a mesh stands in the tensor of the spec."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that a wrapper for data parallel training holds, or the model itself."""
    while isinstance(model, DistributedDataParallel):
        model = model.module
    return model


def on_mesh(tensor: Tensor) -> bool:
    """Return whether a tensor lies on several ranks."""
    module = sys.modules.get(DTENSOR)
    return module is not None and isinstance(tensor, module.DTensor)


def any_on_mesh(tensors: Iterable[Tensor]) -> bool:
    """Return whether one of some tensors lies on several ranks."""
    return any(map(on_mesh, tensors))


def orders_of(model: nn.Module) -> Orders:
    """Return the orders of the rows of a model's tensors, for those whose rows stand otherwise than in the spec."""
    found: Orders = getattr(model, ORDERS, {})
    return found


def gathered(tensor: Tensor, order: Tensor | None = None) -> Tensor:
    """Return all of a tensor, with its rows as the spec has them. Every rank of its mesh has to call this."""
    if not on_mesh(tensor):
        return tensor
    found = _replicated(tensor.detach())
    return found if order is None else torch.empty_like(found).index_copy_(0, order.to(found.device), found)


def _replicated(tensor: Any) -> Tensor:
    """Return all of a tensor, gathered over one axis of its mesh after the other: outer ones shard inner ones."""
    placements = list(tensor.placements)
    for at in range(len(placements)):
        placements[at] = sys.modules[DTENSOR].Replicate()
        tensor = tensor.redistribute(placements=placements)
    found: Tensor = tensor.to_local()
    return found


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this rank holds, which shares its memory."""
    if not on_mesh(tensor):
        return tensor
    found: Tensor = tensor.detach()._local_tensor  # type: ignore[attr-defined]
    return found


def held_windows(tensor: Tensor, order: Tensor | None = None) -> list[Window]:
    """Return which part of the spec's tensor this rank holds, as windows whose rows follow each other in it."""
    if not on_mesh(tensor):
        return [whole(tensor.shape)]
    shape, offset = sys.modules[DTENSOR]._utils.compute_local_shape_and_global_offset(
        tensor.shape,
        tensor.device_mesh,  # type: ignore[attr-defined]
        tensor.placements,  # type: ignore[attr-defined]
    )
    held = tuple(range(at, at + size) for at, size in zip(offset, shape, strict=True))
    if order is None:
        return [held]
    return [(rows, *held[1:]) for rows in _runs(order[held[0].start : held[0].stop].tolist())]


def _runs(numbers: list[int]) -> Iterator[range]:
    """Yield the ranges that numbers in a row are made of; an empty one where there are none."""
    begin = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield range(numbers[begin], numbers[at - 1] + 1)
            begin = at
    if not numbers:
        yield range(0)


def fill(target: Tensor, windows: Iterable[Window], values: Callable[[Window], Tensor]) -> None:
    """Give this rank's part of a tensor its values, window by window."""
    held, row = local(target), 0
    with torch.no_grad():
        for window in windows:
            part = held[row : row + len(window[0])] if window else held
            part.copy_(values(window))
            row += part.shape[0] if window else 0


def copy_whole(target: Tensor, value: Tensor, order: Tensor | None = None) -> None:
    """Give a tensor the values of a whole one: each rank takes the part that it holds."""
    fill(target, held_windows(target, order), lambda window: cut(value, window))


def replicated(value: Tensor, like: Tensor) -> Tensor:
    """Return a value that each rank has all of, on the mesh of another tensor."""
    tensors, mesh = sys.modules[DTENSOR], like.device_mesh  # type: ignore[attr-defined]
    everywhere = [tensors.Replicate()] * mesh.ndim
    found: Tensor = tensors.DTensor.from_local(value.to(like.device), mesh, everywhere, run_check=False)
    return found


# One file, by one rank.


def written_once(
    names: Iterable[str], gather: Callable[[str], Tensor], write: Callable[[Callable[[str], Tensor]], str]
) -> str:
    """Let the first rank write a file from tensors that all ranks gather in the order of `names`; return its digest.

    The first rank gathers on where writing fails, so that no other one waits for it.

    Raises:
        OSError: the first rank could not write. It raises its own error.
    """
    left = list(names)

    def next_one(name: str) -> Tensor:
        assert name == left.pop(0)
        return gather(name)

    digest = ""
    try:
        if distributed.get_rank() == 0:
            digest = write(next_one)
    finally:
        for name in left:
            gather(name)
        told = _told(digest)
    if not told:
        raise OSError("rank 0 could not write the file: it says why")
    return told


def _told(digest: str) -> str:
    """Return the digest that the first rank has."""
    device = torch.accelerator.current_accelerator() if distributed.get_backend() == "nccl" else None
    text = torch.tensor([*digest.encode().ljust(64, b" ")], dtype=torch.uint8, device=device)
    distributed.broadcast(text, 0)
    return bytes(text.tolist()).decode().strip()
