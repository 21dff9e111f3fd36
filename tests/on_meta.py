"""Watches that nothing is made but on the meta device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SMALL = 1024
"""Bytes: a number that torch makes a tensor of is nothing."""


class Made(TorchDispatchMode):
    """Notes each operation, whoever calls it, that makes a tensor elsewhere, and of more than `small` bytes."""

    def __init__(self, small: int = SMALL) -> None:
        super().__init__()
        self.small = small
        self.elsewhere: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and each.device.type != "meta":
                size = each.untyped_storage().nbytes()
                if size > self.small:
                    self.elsewhere.append(f"{func}: {size} bytes on {each.device}")
        return result
