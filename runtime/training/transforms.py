"""Items that a transform changes: a function made from a program of the spec, called for one item at a time."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from compiler.artifact import Artifact
from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.reasons import reason
from compiler.training.source import FieldSource
from compiler.training.transform import TITLE, Transform, transform_function, try_transform
from runtime.classes import emitted_module
from runtime.training.items import Batch, Items, collated
from spec_schema.diagnostics import refuse


class Transformation:
    """The function of a transform. What it draws is the same for an item of an epoch, whoever loads it."""

    def __init__(self, artifact: Artifact, transform: Transform, source: str, seed: int) -> None:
        self.artifact, self.transform, self.source, self.seed = artifact, transform, source, seed
        self._function: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_function": None}

    def __call__(self, sample: Batch, training: bool, item: int) -> Batch:
        """Return an item with the fields that the transform returns in place of those it had."""
        if self._function is None:
            self._function = getattr(emitted_module(self.source, self.artifact), TITLE)
        values = given(self.transform, sample).values()
        try:
            with torch.no_grad():
                changed = self._function(training, *values)
        except TORCH_ERRORS as error:
            message = f"the transform failed for item {item}: {reason(error)}"
            raise refuse("transform-failed", message, self.transform.place) from None
        return {**sample, **{name: value for name, value in changed.items() if name in sample}}

    def seed_of(self, epoch: int, item: int, turn: int) -> int:
        """Return the seed of what is drawn for an item."""
        key = f"transform:{self.seed}:{epoch}:{item}:{turn}".encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def given(transform: Transform, sample: Batch) -> dict[str, Tensor]:
    """Return the fields that a transform gets: 0 for the targets, where a model only makes predictions."""
    return {name: torch.as_tensor(sample.get(name, 0)) for name in transform.fields}


class Transformed(Dataset[Batch]):
    """Items that are changed one by one when they are asked for; each epoch of the training split anew."""

    def __init__(
        self, items: Items, change: Transformation, fields: Mapping[str, FieldSource], training: bool
    ) -> None:
        self.items, self.change, self.fields, self.training = items, change, fields, training

    def __len__(self) -> int:
        return len(self.items)

    def in_order(self) -> Tensor:
        return self.items.in_order()

    def shuffled(self, generator: torch.Generator) -> Tensor:
        return self.items.shuffled(generator)

    def __getitem__(self, indices: Tensor) -> Batch:
        return self.at(0, indices, torch.zeros_like(indices))

    def samples(self, indices: Tensor) -> list[Batch]:
        return self._changed(0, indices, torch.zeros_like(indices))

    def at(self, epoch: int, indices: Tensor, turns: Tensor) -> Batch:
        """Return a batch of an epoch."""
        return collated(self._changed(epoch, indices, turns), self.fields)

    def _changed(self, epoch: int, indices: Tensor, turns: Tensor) -> list[Batch]:
        samples = self.items.samples(indices)
        with _own_numbers() as generator:
            changed = []
            for sample, index, turn in zip(samples, indices.tolist(), turns.tolist(), strict=True):
                generator.manual_seed(self.change.seed_of(epoch, index, turn))
                changed.append(self.change(sample, self.training, index))
        return changed


def make_transformation(artifact: Artifact, transform: Transform, items: Items, seed: int) -> Transformation:
    """Return the function of a transform. It is tried on an item in both modes, so that an error has its exact place.

    Raises:
        SpecError: an operation refuses what it gets.
    """
    context, scope = artifact.inferred.context(), artifact.program.scope
    (sample,) = items.samples(items.in_order()[:1])
    with torch.no_grad(), _own_numbers():
        for training in (True, False):
            try_transform(context, transform, scope, training, given(transform, sample))
    source = ast.unparse(transform_function(transform, scope, context))
    return Transformation(artifact, transform, source, seed)


@contextmanager
def _own_numbers() -> Iterator[torch.Generator]:
    """Let what draws random numbers on the CPU do so without a trace in those that the training draws."""
    generator = torch.default_generator
    state = generator.get_state()
    try:
        yield generator
    finally:
        generator.set_state(state)
