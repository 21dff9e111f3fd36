"""One example that a property is tried on: a layer with its arguments, and inputs for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compiler.catalogue.hints import Recipe
from compiler.infer.block_parameters import dtype_of
from runtime.samples import DEFAULT_BOUND, sample
from runtime.testing.subject import Subject
from spec_schema.canonical import to_yaml

WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}
TRAINING = True
MODES = (not TRAINING, TRAINING)
"""What `Module.train` takes."""
STIR = 0.3
"""The spread of what is added to all parameters, so that none is 0 or 1 by its initialisation alone."""


@dataclass(frozen=True)
class Input:
    """A tensor to draw: `batch` is the dimension of the items of a batch, None where it has none."""

    dtype: str
    shape: tuple[int, ...]
    batch: int | None = 0
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Case:
    """A layer with arguments, and inputs for it.

    Attributes:
        written: The arguments that a spec writes.
        inferred: The sizes that follow from the inputs.
        sizes: What the named dimensions of the types are.
        seed: What all random values follow from.
    """

    subject: Subject
    written: Mapping[str, Any]
    inferred: Mapping[str, int]
    inputs: Mapping[str, Input]
    sizes: Mapping[str, int]
    seed: int = 0

    @property
    def names(self) -> dict[str, Any]:
        """The values that expressions of hints may name."""
        defaults = {each.name: each.default for each in self.subject.layer.arguments}
        given = {name: name in self.inputs for name in self.subject.forward_parameters()}
        return {**given, **defaults, **self.sizes, **self.inferred, **self.written}

    def make(self, seed: int | None = None) -> nn.Module:
        """Construct the layer, evaluating, with parameters that are random through and through."""
        with fixed_random(self.seed if seed is None else seed):
            layer = self.construct()
            with torch.no_grad():
                for parameter in layer.parameters():
                    if parameter.is_floating_point() or parameter.is_complex():
                        parameter.add_(torch.randn_like(parameter), alpha=STIR)
        return layer.eval()

    def construct(self) -> nn.Module:
        """Construct the layer as it is, with the random numbers and the device that apply."""
        return self.subject.layer.cls(**self.inferred, **_constructed(self.written))

    def values(self, more: int = 0, wide: bool = False) -> dict[str, Tensor]:
        """Return the inputs. `more` gives other ones; `wide` ones have twice the precision."""
        generator = torch.Generator().manual_seed(self.seed + 1 + 1000 * more)
        drawn = {name: _draw(each, generator) for name, each in self.inputs.items()}
        return {n: t.to(WIDER.get(t.dtype, t.dtype)) if wide else t for n, t in drawn.items()}

    def document(self) -> dict[str, Any]:
        """Return the example as a spec."""
        plugin = self.subject.plugin
        return {
            "spec": 1,
            **({} if plugin is None else {"requires": [plugin.name]}),
            "inputs": {name: str(each) for name, each in self.inputs.items()},
            "model": {
                "layers": {"layer": self.text},
                f"forward({', '.join(self.inputs)})": f"return layer({', '.join(self._passed())})",
            },
        }

    def spec(self) -> str:
        """Return the example as the text of a spec that a person can run."""
        return to_yaml(self.document())

    @property
    def text(self) -> str:
        """The layer as a spec writes it."""
        written = ", ".join(f"{name}={_literal(value)}" for name, value in self.written.items())
        return f"{self.subject.layer.name}({written})" if written else self.subject.layer.name

    def _passed(self) -> Iterator[str]:
        """Yield the inputs as the program passes them: by position as long as none is left out."""
        places = list(self.subject.forward_parameters())
        for at, name in enumerate(self.inputs):
            yield name if places[at] == name else f"{name}={name}"

    def __repr__(self) -> str:
        given = ", ".join(f"{name}: {each}" for name, each in self.inputs.items())
        return f"{self.text} on {given}"


def call(layer: nn.Module, values: Mapping[str, Tensor], seed: int = 0) -> Any:
    """Call a layer on copies of values, with the same random numbers each time."""
    with fixed_random(seed):
        return layer(**{name: each.clone() for name, each in values.items()})


@contextmanager
def fixed_random(seed: int) -> Iterator[None]:
    """Seed torch's global generator for a while, and put it back.

    That of the CPU: `torch.manual_seed` is slow, for it notes the stack for each other device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _constructed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with the layers that recipes stand for."""
    return {
        name: getattr(nn, each.layer)(**_constructed(each.arguments)) if isinstance(each, Recipe) else each
        for name, each in arguments.items()
    }


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


def _draw(each: Input, generator: torch.Generator) -> Tensor:
    dtype = torch.float32 if each.dtype == "float" else dtype_of(each.dtype)
    if each.low is None or each.high is None:
        return sample(torch.Size(each.shape), dtype, DEFAULT_BOUND, generator)
    if dtype.is_floating_point or dtype.is_complex:
        drawn = torch.rand(each.shape, dtype=dtype, generator=generator)
        return each.low + (each.high - each.low) * drawn
    low, high = int(each.low), int(each.high)
    return torch.randint(low, max(high, low + 1), each.shape, generator=generator).to(dtype)
