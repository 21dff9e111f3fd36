"""Weights that a layer stores as something else, by torch's own parametrisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from runtime.importing.positions import refuse_at


def parametrizations(module: nn.Module) -> Mapping[str, str]:
    """Return the parametrisation of each weight that has one, by its selector."""
    found = {}
    for name, each in module.named_modules():
        if parametrize.is_parametrized(each):
            for weight, made in each.parametrizations.items():
                found[f"/{name}.{weight}"] = _text(f"{name}.{weight}", list(made))
    return found


def _text(name: str, made: list[Any]) -> str:
    kind = type(made[0]).__name__ if len(made) == 1 else ""
    if kind == "_WeightNorm":
        return f"weight_norm(dim={made[0].dim if made[0].dim >= 0 else None})"
    if kind == "_SpectralNorm":
        rule = made[0]
        return f"spectral_norm(n_power_iterations={rule.n_power_iterations}, eps={rule.eps}, dim={rule.dim})"
    kinds = ", ".join(type(each).__name__ for each in made)
    raise refuse_at(None, "import-operation", f"the language has no parametrisation `{kinds}` of `{name}`")
