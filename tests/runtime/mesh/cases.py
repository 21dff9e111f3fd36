"""Trainings of models of the zoo in float64, on the meshes of their specs and on one process."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import compiler
import runtime
from runtime.named_tensors import named_tensors
from runtime.sharded import gathered, orders_of
from runtime.training.outcome import Trained

ZOO = Path(__file__).parents[3] / "specs/zoo"
MESH = "\nmesh:"
TRAIN = """
placement: [{/: {dtype: float64}}]
train:
  data: {file: FILE.npz, FIELDS}
  loss: LOSS
  optimizer: AdamW(lr=0.01)
  batch: 4
  epochs: 4
  clip: 1.0
  log: {report: false}
"""
OF_TOKENS = "cross_entropy(output.flatten(0, 1), label.flatten())"
RESNET = """
mesh:
  axes: {dp: 1}
  shard: dp
  units: [Bottleneck]
  sync_statistics: true
"""
TIED = """
mesh:
  axes: {dp: 1, tp: 1}
  replicate: dp
  units: [h.*]
  split:
    - Attention.qkv: split('(three h d) ...', h, three=3, h=heads)
    - Attention.proj: rowwise
    - wte: rowwise
    - head: colwise
  local: {Attention.heads: heads // tp}
"""
HYBRID = """
mesh:
  axes: {copies: 1, dp: 1}
  replicate: copies
  shard: dp
  units: [h.*]
"""


@dataclass(frozen=True)
class Case:
    """A model, what it is trained on, and its mesh if that is not the one of its spec."""

    spec: str
    fields: tuple[str, ...]
    loss: str = OF_TOKENS
    mesh: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    preset: str = "tiny"


CASES = {
    "GPT-2, tied": Case("gpt2", ("tokens",)),
    "GPT-2, tied ends split, replicated": Case("gpt2", ("tokens",), mesh=TIED),
    "GPT-2, hybrid": Case("gpt2", ("tokens",), mesh=HYBRID),
    "Llama, grouped queries": Case("llama", ("tokens",)),
    "Qwen2": Case("qwen2", ("tokens",)),
    "Mixtral": Case("mixtral", ("tokens",)),
    "T5, tied": Case("t5", ("tokens", "seen", "targets"), set={"rate": 0.0}),
    "ViT": Case("vit", ("image",), "cross_entropy(output, label)"),
    "ResNet, norms over all ranks": Case("resnet", ("image",), "cross_entropy(output, label)", RESNET),
}
EXAMPLES, TIME, VOCABULARY = 18, 9, 100


def write_data(folder: Path) -> None:
    """Write 18 rows of tokens, so that the last batch of an epoch has two, and 20 images, of which it has four."""
    draws = np.random.RandomState(3)
    tokens = draws.randint(VOCABULARY, size=(EXAMPLES, TIME + 1))
    seen = (np.arange(TIME) < draws.randint(5, TIME + 1, size=(EXAMPLES, 1))).astype(np.int64)
    arrays = {"tokens": tokens[:, :-1], "label": tokens[:, 1:], "seen": seen, "targets": tokens[:, :-1]}
    np.savez(folder / "tokens.npz", **arrays)
    for name, size in (("vit", 32), ("resnet", 64)):
        images = {"image": draws.normal(size=(20, 3, size, size)), "label": draws.randint(10, size=20)}
        np.savez(folder / f"{name}.npz", **images)


def compiled(name: str) -> compiler.Artifact:
    case = CASES[name]
    model, _, mesh = (ZOO / f"{case.spec}.yaml").read_text().partition(MESH)
    fields = ", ".join(f"{each}: {each}" for each in (*case.fields, "label"))
    file = "tokens" if case.loss == OF_TOKENS else case.spec
    train = TRAIN.replace("FILE", file).replace("FIELDS", fields).replace("LOSS", case.loss)
    imports = {f"blocks/{path.name}": path.read_text() for path in (ZOO / "blocks").glob("*.yaml")}
    text = f"{model}{case.mesh or MESH + mesh}{train}"
    return compiler.compile_text(
        text, name=f"{case.spec}.yaml", preset=case.preset, imports=imports, set=case.set
    )


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
