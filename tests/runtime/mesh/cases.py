"""Trainings of models of the zoo, on meshes and on one process."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch

import compiler
import runtime
from runtime.named_tensors import named_tensors
from runtime.sharded import gathered, orders_of
from runtime.training.outcome import Trained
from tests.runtime.mesh.test_built_on_ranks import DTYPE, GPT2, LLAMA

ZOO = Path(__file__).parents[3] / "specs/zoo"
TRAIN = """
train:
  data: {file: tokens.npz, tokens: tokens, label: labels}
  loss: cross_entropy(output.flatten(0, 1), label.flatten())
  optimizer: AdamW(lr=0.01)
  batch: 4
  epochs: 4
  clip: 1.0
  log: {report: false}
"""
CASES = {"gpt2": ("gpt2.yaml", GPT2), "llama": ("llama.yaml", LLAMA)}
EXAMPLES, TIME, VOCABULARY = 18, 9, 100


def write_tokens(folder: Path) -> None:
    """Write 18 rows of tokens: five batches of four in an epoch, the last of which has two."""
    tokens = np.random.RandomState(3).randint(VOCABULARY, size=(EXAMPLES, TIME + 1))
    np.savez(folder / "tokens.npz", tokens=tokens[:, :-1], labels=tokens[:, 1:])


def compiled(name: str) -> compiler.Artifact:
    file, mesh = CASES[name]
    imports = {"blocks/decoder.yaml": (ZOO / "blocks/decoder.yaml").read_text()}
    text = (ZOO / file).read_text() + mesh + DTYPE + TRAIN
    return compiler.compile_text(text, name=file, preset="tiny", imports=imports)


def trained(name: str, folder: Path, out: Path, **options: Any) -> Trained:
    return runtime.train(compiled(name), out=out, progress=False, data_paths=[folder], seed=3, **options)


def values_of(model: torch.nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    """Return all tensors of a model, whole."""
    orders = orders_of(model)
    return {
        name: gathered(tensor, orders.get(name)).detach().numpy() for name, tensor in named_tensors(model)
    }


def rows_of(log: Path) -> list[dict[str, float]]:
    with log.open() as file:
        return [{key: float(each) for key, each in row.items() if each} for row in csv.DictReader(file)]


def losses_of(log: Path) -> list[float]:
    return [row["loss"] for row in rows_of(log) if "loss" in row]
