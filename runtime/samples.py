"""Sample inputs: values of the declared shapes, so that a model without data can be run once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.infer import infer
from compiler.infer.block_parameters import float_dtype
from compiler.infer.dtypes import default_dtype
from compiler.infer.on_meta import meta_device

DEFAULT_BOUND = 2
"""Whole numbers are below this where no embedding says what they may be."""


def sample_inputs(
    artifact: Artifact, model: nn.Module, seed: int, sizes: Mapping[str, int] | None = None
) -> dict[str, Tensor]:
    """Return a value for each input of the model, on the CPU: normal, or whole numbers that index its tables.

    `sizes` are those of open dimensions that are not the example sizes of the spec.
    """
    generator = torch.Generator().manual_seed(seed)
    bound = _bound(model)
    return {
        name: sample(like.shape, like.dtype, bound, generator)
        for name, like in _forms(artifact, sizes or {}).items()
    }


def _forms(artifact: Artifact, sizes: Mapping[str, int]) -> Mapping[str, Tensor]:
    """Return inputs without values."""
    if not sizes:
        return artifact.inferred.inputs
    program = artifact.program
    with meta_device(torch.float32), float_dtype(default_dtype(program)):
        return infer.sample_inputs(program, {**program.sizes, **sizes})


def in_order(artifact: Artifact, inputs: Mapping[str, Any]) -> list[Any]:
    """Return inputs in the order in which the model's `forward` takes them."""
    return [inputs[entry.name] for entry in artifact.program.model.inputs]


def _bound(model: nn.Module) -> int:
    """Return what is in reach of every embedding of a model."""
    tables = (nn.Embedding, nn.EmbeddingBag)
    sizes = [module.num_embeddings for module in model.modules() if isinstance(module, tables)]
    return max(1, min(sizes, default=DEFAULT_BOUND))


def sample(shape: torch.Size, dtype: torch.dtype, bound: int, generator: torch.Generator) -> Tensor:
    """Return a tensor of normal numbers, of whole numbers below a bound, or of truth values."""
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, dtype=dtype, generator=generator)
    limit = 2 if dtype == torch.bool else min(bound, torch.iinfo(dtype).max)
    return torch.randint(limit, shape, dtype=torch.int64, generator=generator).to(dtype)
