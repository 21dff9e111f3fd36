"""The sizes at which a spec is compared with its module: the given ones, and those at which less is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from runtime.importing.inputs import Input

SMALL = 64
"""Pictures are no larger than this where a module takes such: at 32 × 32 most of them come down to a single pixel."""

Inputs = Mapping[str, Tensor]
"""By the names that the module has for them."""


@dataclass(frozen=True)
class Trial:
    """Inputs at certain sizes."""

    inputs: Sequence[Input]
    sizes: Mapping[str, int]

    def made(self) -> Inputs:
        return {each.name: each.made(self.sizes) for each in self.inputs}

    def others(self) -> list[list[Trial]]:
        """Return trials in which one open dimension has another size: of each, those among which one may do."""
        return [[self._at(name, other) for other in _others(size)] for name, size in self.sizes.items()]

    def _at(self, name: str, size: int) -> Trial:
        return replace(self, sizes={**self.sizes, name: size})

    def small(self) -> Trial | None:
        """Return the trial on small pictures, if there are pictures and they are larger."""
        places = [(each, place) for each in self.inputs for place in range(2, len(each.dimensions))]
        large = [(each, place) for each, place in places if len(each.dimensions) > 3]
        names = {each.dimensions[place] for each, place in large}
        sizes = {name: min(size, SMALL) if name in names else size for name, size in self.sizes.items()}
        inputs = [replace(each, dimensions=_small(each.dimensions)) for each in self.inputs]
        return None if sizes == self.sizes and inputs == list(self.inputs) else Trial(inputs, sizes)


def _others(size: int) -> list[int]:
    """Return other sizes of a dimension: most modules take the first, some only what can be divided as it can."""
    others = (size + 1, 2 * size, max(1, size // 2), size + 32)
    return [each for each in dict.fromkeys(others) if each != size]


def _small(dimensions: tuple[int | str, ...]) -> tuple[int | str, ...]:
    if len(dimensions) < 4:
        return dimensions
    rest = (min(each, SMALL) if isinstance(each, int) else each for each in dimensions[2:])
    return (*dimensions[:2], *rest)
