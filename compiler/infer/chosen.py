"""Sizes that data decide: how many elements a mask chooses.

While shapes are inferred such a size is an example, as that of an open dimension is. Each mask chooses a number of its
own, all of them follow from one, and other runs try others: what needs a known size, or that two masks choose equally
many, does not go through all of them. Torch's own symbols stand for these sizes where a run is over symbols.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from spec_schema.diagnostics import Diagnostic

CHOSEN = "what data choose"
"""The name, among the open dimensions, of the number that all such sizes follow. No spec can write it."""
FIRST = 6
"""Its example; nothing is chosen where it is 1."""
DIFFERENT = 11
"""So many masks in a row choose different numbers."""

INDICES = frozenset({torch.nonzero, Tensor.nonzero, torch.argwhere, Tensor.argwhere})
SELECTED = frozenset({torch.masked_select, Tensor.masked_select})
DISTINCT = frozenset({torch.unique, Tensor.unique})
RUNS = frozenset({torch.unique_consecutive, Tensor.unique_consecutive})


def chosen_sizes(base: int = FIRST) -> Iterator[int]:
    """Yield the numbers that one mask after the other chooses."""
    return ((base - 1) * each for each in cycle(range(1, DIFFERENT + 1)))


@dataclass(eq=False)
class ChosenSizes:
    """How many elements each mask of a run chooses."""

    base: int = FIRST
    masks: dict[Hashable, tuple[Tensor, int]] = field(default_factory=dict)
    """By where its values would be: it lives as long as the run, so that those of no other one are there."""
    numbers: Iterator[int] = field(default_factory=chosen_sizes)

    def begin(self, base: int) -> None:
        """Begin a run."""
        self.base, self.masks, self.numbers = base, {}, chosen_sizes(base)

    def size(self, mask: Tensor, what: str = "chosen") -> int:
        """Return how many elements a mask chooses, or how many there are of what else: the same each time."""
        place = mask.untyped_storage()._cdata, mask.storage_offset(), tuple(mask.shape), mask.stride()
        key = what, *place
        if key not in self.masks:
            self.masks[key] = mask, self.number(mask)
        return self.masks[key][1]

    def told(self, problem: Diagnostic) -> Diagnostic:
        """Return a diagnostic with a note on the numbers in it that stand for sizes which data decide."""
        text = " ".join((problem.message, problem.label))
        found = dict.fromkeys(str(size) for _, size in self.masks.values() if re.search(rf"\b{size}\b", text))
        if not found:
            return problem
        verb = "stands for a size" if len(found) == 1 else "stand for sizes"
        note = f"{' and '.join(found)} {verb} that data decide"
        return replace(problem, notes=(*problem.notes, note))

    def number(self, mask: Tensor) -> int:
        """Return how many elements a mask chooses that is looked at first."""
        return next(self.numbers)

    def call(
        self, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> tuple[Any] | None:
        """Return, in a tuple, the result of a function whose size data decide; None if it is no such function."""
        if not arguments or not _is_example(arguments[0]):
            return None
        if function in INDICES:
            as_tuple = bool(keywords.get("as_tuple"))
            return (self._places(arguments[0]) if as_tuple else self._table(arguments[0]),)
        if function is torch.where and len(arguments) == 1 and not keywords:
            return (self._places(arguments[0]),)
        if function in DISTINCT or function in RUNS:
            return self._distinct(function in RUNS, arguments, keywords)
        if function in SELECTED:
            return self._selected(arguments[0], keywords.get("mask", *arguments[1:]))
        if function in (operator.getitem, Tensor.__getitem__):
            return self._item(arguments[0], arguments[1])
        return None

    def _selected(self, tensor: Tensor, mask: Any = None) -> tuple[Tensor] | None:
        """Return what a mask chooses of a tensor.

        Raises:
            RuntimeError: their shapes do not broadcast.
        """
        if not _is_mask(mask):
            return None
        torch.broadcast_shapes(tensor.shape, mask.shape)  # type: ignore[no-untyped-call]
        return (torch.empty(self.size(mask), dtype=tensor.dtype),)

    def _distinct(
        self, in_a_row: bool, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> tuple[Any] | None:
        """Return the different elements of a tensor, with what is asked for beside them; None along a dimension."""
        tensor, *rest = arguments
        names = ("sorted", "return_inverse", "return_counts", "dim")[in_a_row:]
        given = {**dict(zip(names, rest, strict=False)), **keywords}
        if given.get("dim") is not None:
            return None
        size = self.size(tensor, "runs" if in_a_row else "distinct")
        values = torch.empty(size, dtype=tensor.dtype)
        more = (("return_inverse", tensor.shape), ("return_counts", size))
        beside = [torch.empty(shape, dtype=torch.int64) for name, shape in more if given.get(name)]
        return ((values, *beside) if beside else values,)

    def _table(self, mask: Tensor) -> Tensor:
        return torch.empty((self.size(mask), mask.ndim), dtype=torch.int64)

    def _places(self, mask: Tensor) -> tuple[Tensor, ...]:
        """Return the places of what a mask chooses, one tensor for each dimension."""
        return tuple(torch.empty(self.size(mask), dtype=torch.int64) for _ in range(max(mask.ndim, 1)))

    def _item(self, tensor: Tensor, key: Any) -> tuple[Tensor] | None:
        keys = list(key) if isinstance(key, tuple) else [key]
        if not any(map(_is_mask, keys)):
            return None
        written = list(self._indices(tensor, keys))
        return (tensor[tuple(written)],)

    def _indices(self, tensor: Tensor, keys: Sequence[Any]) -> Iterator[Any]:
        """Yield the items of an index, with the places that a mask chooses instead of the mask.

        Raises:
            IndexError: a mask has another shape than what it is to choose from.
        """
        taken = sum(_dimensions(key) for key in keys)
        at = 0
        for key in keys:
            if _is_mask(key):
                own = tuple(tensor.shape[at : at + key.ndim])
                if own != tuple(key.shape):
                    raise IndexError(f"a mask of shape {list(key.shape)} chooses from {list(own)}")
                yield from self._places(key)
            else:
                yield key
            at += tensor.ndim - taken if key is Ellipsis else _dimensions(key)


class AllChosen(ChosenSizes):
    """Each mask chooses everything: what is done at most."""

    def number(self, mask: Tensor) -> int:
        return mask.numel()


def _is_example(value: object) -> bool:
    """Return whether a value is a tensor of example sizes, not of symbols."""
    return isinstance(value, Tensor) and value.is_meta and not hasattr(value, "fake_mode")


def _is_mask(key: object) -> bool:
    return isinstance(key, Tensor) and key.dtype is torch.bool and key.ndim > 0


def _dimensions(key: object) -> int:
    """Return how many dimensions an item of an index takes."""
    if key is None or key is Ellipsis or isinstance(key, bool):
        return 0
    return key.ndim if isinstance(key, Tensor) and key.dtype is torch.bool else 1
