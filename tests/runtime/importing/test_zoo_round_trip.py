"""A model of the zoo, made of its emitted file alone, is imported again, and is the same."""

from __future__ import annotations

import pytest
import torch

import compiler
from runtime.importing.imported import from_module
from runtime.samples import in_order, sample_inputs
from tests.emitted_file import run_file

PROVEN = """
    albert alexnet bert clip convnext ddpm densenet gpt2 llama mamba mobilenet_v3 resnet swin t5 unet vae vit wavenet
""".split()


@pytest.mark.parametrize("name", PROVEN)
def test_a_model_of_the_zoo_comes_back(name: str) -> None:
    artifact = compiler.compile(f"specs/zoo/{name}.yaml", preset="tiny")
    torch.manual_seed(0)
    module = run_file(artifact.source, artifact.name)
    made = from_module(module, in_order(artifact, sample_inputs(artifact, module, 0)))
    assert made.report.proof is not None
    assert made.report.proof.trained
    assert made.report.unused == ()
