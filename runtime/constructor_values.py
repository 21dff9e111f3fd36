"""First values of layers without rules: what a plugin's layer, or one inside it, gives itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from compiler.infer.states import Leaf
from compiler.rules.table import TensorRow
from runtime.named_tensors import named_tensors
from runtime.random import Draws
from spec_schema.diagnostics import refuse
from spec_schema.selectors import path_of


@contextmanager
def seeded(draws: Draws) -> Iterator[None]:
    """Let torch's global generator stand where `draws` say, and put it back as it was in the end."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(draws.generator().get_state())
        yield


@dataclass(eq=False)
class ConstructorValues:
    """Makes each layer once, by its own constructor, under a generator seeded by the layer's name."""

    seed: int
    made: dict[str, nn.Module] = field(default_factory=dict)

    def tensor(self, leaf: Leaf, row: TensorRow) -> Tensor:
        """Return what a layer gives to one of its tensors.

        Raises:
            SpecError: the constructor made another tensor when the shapes of the model were inferred.
        """
        depth = len(row.torch_steps) - 1  # the steps inside the layer, its own left out
        path = path_of(row.steps[:-depth])
        inner = path_of(row.steps[-depth:])
        if path not in self.made:
            with seeded(Draws(self.seed, path)):
                self.made[path] = _construct(leaf)
        found = dict(named_tensors(self.made[path])).get(inner)
        if found is None or found.shape != row.tensor.shape:
            form = "no tensor" if found is None else f"a tensor of shape {list(found.shape)}"
            raise refuse(
                "wrong-size",
                f"`{leaf.layer.name}` made {form} for `{row.name}`",
                row.span,
                notes=(f"inferred: {list(row.tensor.shape)}",),
                help="let the constructor of the layer make the same tensors each time",
            )
        return found.detach()


def _construct(leaf: Leaf) -> nn.Module:
    """Make a layer, and first those that it is given."""
    nested = {name: _construct(each) for name, each in leaf.nested.items()}
    return leaf.layer.cls(**{**leaf.values, **leaf.inferred, **nested})
