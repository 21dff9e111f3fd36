"""What a piece of work takes, in steps and in bytes: found by doing it on the meta device, over shapes alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from compiler.infer.dispatch import DispatchMode
from compiler.infer.values import tensors_in

CALL = 10_000
"""Steps that a call takes however small its tensors are."""
PRODUCTS = 16
"""Operations of a matrix product that are one step: nothing else is as fast."""
SWEPT = 1.5
"""How far what is held may be overestimated before it is counted anew."""

MATRICES = (
    "linalg",
    "svd",
    "qr",
    "cholesky",
    "lu_",
    "eig",
    "inverse",
    "solve",
    "matrix_exp",
    "orm",
    "householder",
)
"""In the names of what takes a step for each element and each row."""
PAIRS = ("cdist", "pdist", "trilinear", "ctc_loss")
"""In the names of what takes a step for each element of the result and of its last dimension."""
POLYNOMIALS, DEGREE = "polynomial", 1_000
"""In the names of what takes a step for each degree; torch makes a tensor of it, and the catalogue bounds it so."""
NUMBERS = ("kernel_size", "n", "p")
"""Arguments that say how many steps are taken for each element of the result."""


class Cost(DispatchMode):
    """Counts what torch does inside a `with`: its steps, and the most bytes that are held at once."""

    def __init__(self, swept: float = SWEPT) -> None:
        super().__init__()
        self.swept = swept
        self.steps = 0
        self.bytes = 0
        self._held = 0
        self._living = 0
        """What was held when it was counted last."""
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        taken, made = tensors_in([*args, *given.values()]), tensors_in(result)
        known = {_storage(tensor) for tensor in taken}
        new = [tensor for tensor in made if _storage(tensor) not in known]
        self.steps += CALL
        if new or func._schema.is_mutable or not made:  # a view is nothing
            self.steps += _steps(func, args, given, taken, result)
        for tensor in new:
            self._hold(tensor)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        size = tensor.numel() * tensor.itemsize
        self._storages[_storage(tensor)] = (StorageWeakRef(storage), size)  # type: ignore[no-untyped-call]
        self._held += size
        if self._held > max(self.bytes, self.swept * self._living):
            self._sweep()
        self.bytes = max(self.bytes, self._held)

    def _sweep(self) -> None:
        """Forget what is no longer there."""
        living = ((key, held) for key, held in self._storages.items() if not _is_gone(held[0]))
        self._storages = dict(living)
        self._held = self._living = sum(size for _, size in self._storages.values())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_gone(storage: StorageWeakRef) -> bool:
    return bool(storage.expired())  # type: ignore[no-untyped-call]


def _steps(
    func: Any, args: Sequence[Any], keywords: Mapping[str, Any], taken: Sequence[Tensor], result: Any
) -> int:
    """Return what one call takes: an element that is read or made is one."""
    from torch.utils.flop_counter import flop_registry  # takes long to import, and most processes do no work

    elements = max((tensor.numel() for tensor in (*taken, *tensors_in(result))), default=0)
    formula = flop_registry.get(func._overloadpacket)
    if formula is not None:
        return max(elements, int(formula(*args, **keywords, out_val=result)) // PRODUCTS)
    return elements * _each(func, args, keywords, taken)


def _each(func: Any, args: Sequence[Any], keywords: Mapping[str, Any], taken: Sequence[Tensor]) -> int:
    """Return how many steps a call takes for each element."""
    name = func._schema.name
    sizes = [size for tensor in taken for size in tensor.shape[-2:]]
    if any(part in name for part in MATRICES):
        return max(sizes, default=1)
    if any(part in name for part in PAIRS):
        return max([tensor.shape[-1] for tensor in taken if tensor.ndim], default=1)
    if POLYNOMIALS in name:
        return DEGREE
    given = {**dict(zip((each.name for each in func._schema.arguments), args, strict=False)), **keywords}
    counts = [_count(given[argument]) for argument in NUMBERS if argument in given]
    return math.prod(counts)


def _count(value: Any) -> int:
    if isinstance(value, list | tuple):
        return math.prod(map(_count, value))
    return max(value, 1) if type(value) is int else 1
