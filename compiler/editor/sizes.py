"""The names of dimensions: read off two runs, of which the second has each open dimension times a prime of its own.

A size that grew by a product of these primes is that product of dimensions, times a number. Any other size that
changed has no name, and is shown as it is in the first run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from compiler.infer.named_size import MAX_FORMULA
from compiler.infer.values import show

PRIMES = (3, 5, 7, 11, 13, 17, 19, 23)
USUAL = torch.float32
SHOWN = 6
"""Parts of a value with several."""


def scaled(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return each size times a prime of its own, as long as there are primes."""
    return {name: size * prime for (name, size), prime in zip(sizes.items(), PRIMES, strict=False)}


@dataclass(frozen=True)
class Naming:
    """Describes values of one run, with the same values of a run at scaled sizes."""

    sizes: Mapping[str, int]
    primes: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        names = list(self.sizes)[: len(PRIMES)]
        object.__setattr__(self, "primes", dict(zip(names, PRIMES, strict=False)))

    def text(self, value: Any, other: Any = None) -> str | None:
        """Return a value as a person reads it, None if it has no size. `other` is the same in the scaled run."""
        match value:
            case Tensor():
                dims = [self.size(size, at, other) for at, size in enumerate(value.shape)]
                dtype = "" if value.dtype == USUAL else str(value.dtype).removeprefix("torch.")
                return f"{dtype}[{', '.join(dims)}]"
            case list() | tuple() | dict() if not value:
                return None
            case dict():
                parts = [(f"{key}: ", self.text(each, _at(other, key))) for key, each in value.items()]
                return _joined(parts, "{}")
            case list() | tuple():
                found = [
                    ("", self.text(each, _at(other, at)) or _plain(each)) for at, each in enumerate(value)
                ]
                return _joined(found, "[]" if isinstance(value, list) else "()")
            case bool() | None | str() | float():
                return None
            case int():
                return self._named(value, other) if isinstance(other, int) else str(value)
        return None

    def size(self, size: int, at: int, other: Any) -> str:
        """Return one size of a tensor."""
        known = isinstance(other, Tensor) and at < other.dim()
        return self._named(int(size), int(other.shape[at])) if known else str(int(size))

    def _named(self, size: int, other: int) -> str:
        if size == other or size <= 0 or other % size:
            return str(size)
        ratio, names, examples = other // size, [], 1
        for name, prime in self.primes.items():
            while ratio % prime == 0:
                ratio //= prime
                names.append(name)
                examples *= self.sizes[name]
        if ratio != 1 or not names:
            return str(size)
        text = _formula(size, examples, "*".join(names))
        return text if text is not None and len(text) <= MAX_FORMULA else str(size)


def _formula(size: int, examples: int, names: str) -> str | None:
    if size % examples == 0:
        return names if size == examples else f"{size // examples}*{names}"
    return f"{names}/{examples // size}" if examples % size == 0 else None


def _at(value: Any, key: Any) -> Any:
    try:
        return value[key]
    except (TypeError, LookupError):
        return None


def _plain(value: Any) -> str:
    return show(value) if isinstance(value, bool | int | float | str | None) else "…"


def _joined(parts: Sequence[tuple[str, str | None]], brackets: str) -> str | None:
    known = [f"{name}{text}" for name, text in parts if text is not None]
    more = ["…"] if len(known) > SHOWN else []
    return f"{brackets[0]}{', '.join([*known[:SHOWN], *more])}{brackets[1]}" if known else None
