"""What the compiler accepts runs at other sizes of its open dimensions, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from hypothesis import given

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.infer.infer import meta_device
from compiler.infer.infer import sample_inputs as meta_inputs
from runtime.samples import sample
from runtime.testing.strategies.models import VOCABULARY
from runtime.testing.strategies.specs import Document, call, specs
from spec_schema.canonical import to_yaml


@given(specs())
def test_a_model_runs_at_other_sizes(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    model = runtime.build(artifact)
    for sizes in _other_sizes(artifact):
        with torch.no_grad():
            call(model.eval(), artifact, _inputs(artifact, sizes))
            call(model.train(), artifact, _inputs(artifact, sizes))


def _other_sizes(artifact: Artifact) -> Iterator[Mapping[str, int]]:
    """Yield two other sizes of each open dimension, from 2 on: some layers refuse to train on one value."""
    for name, size in artifact.program.sizes.items():
        for other in (2 * size, 5 * size + 1):
            yield {**artifact.program.sizes, name: other}


def _inputs(artifact: Artifact, sizes: Mapping[str, int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with meta_device(artifact.inferred.dtype):
        forms = meta_inputs(artifact.program, sizes)
    return {name: sample(form.shape, form.dtype, VOCABULARY, generator) for name, form in forms.items()}
