"""The open dimensions of a model's inputs, and the sizes of them at which an export is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils._pytree import tree_leaves

from compiler.artifact import Artifact
from compiler.program import ModelInput, names_in
from runtime.samples import in_order, sample_inputs
from spec_schema.suggest import did_you_mean

Sizes = Mapping[str, int]
SMALLEST = 2
"""The smallest size that stands for all others: torch looks at 0 and 1 as sizes of their own."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of the model: sizes of its open dimensions, what it was given, and what it returned."""

    sizes: Sizes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Any, ...]

    @property
    def told(self) -> str:
        """The sizes in words."""
        return ", ".join(f"{name} {size}" for name, size in self.sizes.items()) or "the sizes of the spec"


@dataclass(frozen=True, eq=False)
class OpenDimensions:
    """What stays open of a model's inputs. Those in `fixed` do not."""

    artifact: Artifact
    fixed: Sizes

    @property
    def example(self) -> Sizes:
        """The example sizes of the spec, each large enough to stand for others."""
        sizes = self.artifact.program.sizes
        return {
            name: self.fixed.get(name, max(size, SMALLEST if name in self.names else size))
            for name, size in sizes.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in self.artifact.program.sizes if name not in self.fixed)

    @property
    def inputs(self) -> list[ModelInput]:
        """The inputs, in the order in which the model takes them."""
        return in_order(self.artifact, {entry.name: entry for entry in self.artifact.program.inputs})

    def texts(self, entry: ModelInput) -> dict[int, str]:
        """Return the open dimensions of an input by their axis, as they are written."""
        parts = enumerate(entry.type.dimensions)
        return {axis: str(part) for axis, part in parts if names_in(part.tree) & {*self.names}}

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """Return the open axes of each input, as `torch.export` takes them."""
        return tuple(dict.fromkeys(self.texts(entry), Dim.DYNAMIC) for entry in self.inputs)

    # Sizes that are tried.

    def trial(self, model: nn.Module, sizes: Sizes) -> Trial:
        """Run the model once at some sizes. It raises whatever the model does."""
        given = sample_inputs(self.artifact, model, 0, sizes)
        inputs = tuple(in_order(self.artifact, given))
        with torch.no_grad():
            outputs = tuple(tree_leaves(model(*inputs)))
        return Trial(sizes, inputs, outputs)

    def attempt(self, model: nn.Module, sizes: Sizes) -> Trial | None:
        """Run the model once at some sizes, or return None where it does not run at them."""
        try:
            return self.trial(model, sizes)
        except Exception:  # whatever torch raises for sizes that do not fit
            return None

    def others(self, model: nn.Module) -> Iterator[Trial]:
        """Yield runs at other sizes: another size of every dimension, a single item, and where the way turns."""
        seen = [self.example]
        for sizes in (self._apart(model), dict.fromkeys(self.names, 1), *self._singles(), *self._turning()):
            sizes = {**self.example, **sizes}
            if sizes not in seen and (found := self.attempt(model, sizes)) is not None:
                seen.append(sizes)
                yield found

    def _apart(self, model: nn.Module) -> Sizes:
        """Return sizes that differ from the example in every dimension, where the model runs at such."""
        together = {**self.example, **{name: self.example[name] + 1 for name in self.names}}
        if self.attempt(model, together) is not None:
            return together
        sizes = dict(self.example)
        for name in self.names:
            found = (each for each in _others(sizes[name]) if self.attempt(model, {**sizes, name: each}))
            sizes[name] = next(found, sizes[name])
        return sizes

    def _singles(self) -> Iterator[Sizes]:
        yield from ({name: 1} for name in self.names)

    def _turning(self) -> Iterator[Sizes]:
        """Yield the sizes at which the compiler saw a condition come out otherwise."""
        for inputs, _ in self.artifact.inferred.others:
            sizes = {
                str(part): size
                for entry in self.inputs
                for part, size in zip(entry.type.dimensions, inputs[entry.name].shape, strict=True)
            }
            yield {name: sizes[name] for name in self.names if name in sizes}


def _others(size: int) -> Iterator[int]:
    """Yield other sizes of a dimension, multiples among them, since many models halve what they get."""
    for other in dict.fromkeys((size + 1, 2 * size, 3 * size, size - 1, size // 2)):
        if other >= SMALLEST and other != size:
            yield other


def open_dimensions(artifact: Artifact, fixed: Sizes) -> OpenDimensions:
    """Return the dimensions of an artifact, some of which the caller fixes.

    Raises:
        ValueError: there is no such open dimension, or a size is none.
    """
    known = artifact.program.sizes
    for name, size in fixed.items():
        if name not in known:
            near = did_you_mean(name, known)
            listed = ", ".join(f"`{each}`" for each in known) or "none"
            hint = f"did you mean `{near}`?" if near else f"there is {listed}"
            raise ValueError(f"{artifact.name} has no open dimension `{name}`: {hint}")
        if size < 1:
            raise ValueError(f"`{name}` cannot have the size {size}")
    return OpenDimensions(artifact, fixed)
