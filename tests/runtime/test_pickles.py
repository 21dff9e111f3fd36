"""One artifact has one class, and a built model goes through a pickle: here, to another process, and into a file."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle  # noqa: TID251 - a model goes where torch pickles it; nothing of ours unpickles
import subprocess
import sys
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.verify import VerificationError
from runtime import classes
from runtime.classes import ModuleSource, artifact_of, made, root_class

ROOT = Path(__file__).parents[2]
SPEC = """\
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Unit:
    layers: {fc: Linear(8), norm: BatchNorm1d}
    forward: |
      return norm(fc(x)) + x
model:
  layers: {first: Unit, second: Unit, head: "Linear(4, bias=False)"}
  forward: |
    return head(second(first(x)))
share: {fc: [first.fc.weight, second.fc.weight]}
freeze: [first.norm]
"""
PLUGIN = """\
import torch
from torch import nn
from compiler.plugins import initializer, layer, operation

@layer
class Scale(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((in_features,), {factor}))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight

@operation
def twice(x: torch.Tensor) -> torch.Tensor:
    return {factor} * x

@initializer
def ramp(shape: list[int], generator: torch.Generator) -> torch.Tensor:
    return torch.linspace(0, 1, shape[-1]).expand(shape)
"""
OTHER = SPEC.replace("first", "one").replace("second", "two")
WITH_PLUGIN = """\
spec: 1
requires: [mine]
inputs: {x: "float[batch, 8]"}
model: [Scale, twice, Linear(2)]
init:
  - Linear.weight: ramp
"""
X = torch.linspace(-1, 1, 24).reshape(3, 8)


def artifact() -> Artifact:
    return compiler.compile_text(SPEC)


def through(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - of the line itself


def write(folder: Path, factor: float = 2.0) -> str:
    path = folder / "mine.py"
    path.write_text(PLUGIN.format(factor=factor), "utf-8")
    return str(path)


def assert_same(model: nn.Module, other: nn.Module) -> None:
    assert type(model) is type(other)
    with torch.no_grad():
        assert torch.equal(model.eval()(X), other.eval()(X))


# One artifact, one class.


def test_two_models_of_an_artifact_are_of_one_class(tmp_path: Path) -> None:
    compiled = artifact()
    first, second = runtime.build(compiled, seed=0), runtime.build(compiled, seed=1)
    runtime.save(first, tmp_path / "model")
    third, fourth = runtime.load(tmp_path / "model"), runtime.build(artifact())
    assert type(first) is type(second) is type(third) is type(fourth) is root_class(compiled)
    for model in (first, second, third, fourth):
        assert_same(model, through(model))


def test_models_of_an_artifact_are_stacked() -> None:
    compiled = artifact()
    models = [runtime.build(compiled, seed=seed).eval() for seed in (0, 1)]
    params, buffers = torch.func.stack_module_state(models)

    def run(params: Any, buffers: Any) -> Tensor:
        return torch.func.functional_call(models[0], (params, buffers), (X,))

    found = torch.vmap(run)(params, buffers)
    assert torch.allclose(found, torch.stack([model(X) for model in models]), atol=1e-6)


def test_plugins_of_one_name_that_differ_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source is the same, and what it imports is not, though the file is of one size and one time."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    models = []
    for factor in (2.0, 3.0):
        plugin = write(tmp_path, factor)
        os.utime(plugin, (0, 0))
        compiled = compiler.compile_text(WITH_PLUGIN, plugins=[plugin])
        models.append(runtime.build(compiled).eval())
        assert artifact_of(through(models[-1])) is compiled
    first, second = models
    assert artifact_of(first).source == artifact_of(second).source
    assert type(first) is not type(second)
    assert torch.equal(first[1](X), 2 * X)
    assert torch.equal(second[1](X), 3 * X)
    assert type(first) is root_class(artifact_of(first))


def test_a_plugin_file_that_has_not_changed_gives_the_class_that_is_there(tmp_path: Path) -> None:
    models = [runtime.build(compiler.compile_text(WITH_PLUGIN, plugins=[write(tmp_path)])) for _ in range(2)]
    assert type(models[0]) is type(models[1])
    assert_same(models[0], through(models[0]))


def test_the_class_of_a_model_in_use_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others were made since."""
    monkeypatch.setattr(classes, "REGISTERED", 1)
    model = runtime.build(artifact())
    other = runtime.build(compiler.compile_text(OTHER))
    assert type(other).__module__ in sys.modules
    assert type(model).__module__ not in sys.modules
    assert_same(model, through(model))
    assert type(model) is root_class(artifact())


def test_a_class_that_nothing_uses_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "REGISTERED", 0)
    cls = ref(root_class(artifact()))
    gc.collect()
    assert cls() is None


# Pickles.


def test_a_pickle_keeps_ties_frozen_parts_and_the_artifact() -> None:
    model = runtime.build(artifact(), seed=3)
    other = through(model)
    assert other.first.fc.weight is other.second.fc.weight
    assert not other.first.norm.weight.requires_grad
    other.first.train()
    assert not other.first.norm.training
    assert artifact_of(other) is artifact_of(model)
    other.load_state_dict(
        {**other.state_dict(), "first.fc.weight": torch.ones(8, 8), "second.fc.weight": torch.ones(8, 8)}
    )
    assert bool((other.second.fc.weight == 1).all())
    assert not bool((model.second.fc.weight == 1).any())


def test_parts_and_copies_are_of_the_same_class() -> None:
    model = runtime.build(artifact())
    for part in (model, model.first):
        for made_of in (through, copy.copy, copy.deepcopy):
            assert type(made_of(part)) is type(part)


def test_torch_saves_a_model() -> None:
    model = runtime.build(artifact(), seed=3)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert_same(model, torch.load(file, weights_only=False))  # noqa: TID251 - the way that is tested


CHILD = """\
import pickle, sys
import torch
with open(sys.argv[1], "rb") as file:
    model, x, expected = pickle.load(file)
assert torch.equal(model(x), expected)
import runtime
print(runtime.save(model, sys.argv[2]))
"""


@pytest.mark.parametrize("text", [SPEC, WITH_PLUGIN])
def test_another_process_takes_a_model(text: str, tmp_path: Path) -> None:
    """It has imported nothing of ours, and knows neither the spec nor the plugin."""
    plugins = [write(tmp_path)] if text == WITH_PLUGIN else []
    model = runtime.build(compiler.compile_text(text, plugins=plugins), seed=3).eval()
    pickled, saved = tmp_path / "model.pickle", tmp_path / "model.safetensors"
    pickled.write_bytes(pickle.dumps((model, X, model(X).detach())))
    command = [sys.executable, "-c", CHILD, str(pickled), str(saved)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == runtime.save(model, tmp_path / "here.safetensors")


def test_devices_that_the_caller_chose_go_with_the_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    model = runtime.build(artifact(), device={"head": "meta"})
    given = pickle.dumps(artifact_of(model))
    monkeypatch.setattr("compiler.pickled._alive", {})
    other = pickle.loads(given)  # noqa: S301 - of the line itself
    assert other is not artifact_of(model)
    rows = artifact_of(model).plan.rows
    assert [(row.name, row.device) for row in other.plan.rows] == [(row.name, row.device) for row in rows]
    assert other.source == artifact_of(model).source
    assert {row.device for row in rows} >= {"meta"}


def test_source_in_a_pickle_is_verified() -> None:
    hostile = through(ModuleSource("Net", "kinds = ().__class__.__base__.__subclasses__()\n", ()))
    with pytest.raises(VerificationError):
        made(hostile)
