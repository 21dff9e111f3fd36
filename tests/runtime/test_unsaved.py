"""Buffers that are computed and not saved have their values wherever the model has values."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact

SPEC = """
spec: 1
inputs: {x: "float[batch, time, 8]"}
dims: {batch: 2, time: 3}
blocks:
  Rotary(dim):
    buffers:
      freq: {value: "1 / 1e4 ** (arange(0, dim, 2) / dim)", persistent: false}
      step: {tensor: "int64[]", value: "7", persistent: false}
      seen: {value: "arange(3)"}
    forward: |
      angle = outer(arange(x.shape[1]), freq) * step
      return x * cat([angle.cos(), angle.sin()], dim=-1).to(x) + seen.sum()
  Layer(dim):
    layers: {rotary: Rotary(dim), up: Linear(dim)}
    buffers:
      factor: {value: "full([1], 0.5)", persistent: false}
    forward: return up(rotary(x)) * factor
model:
  layers: {first: Layer(8), second: Layer(8)}
  buffers: {scale: {value: "tensor([2.0])", persistent: false}}
  forward: return second(first(x)) * scale
share: {layer: [first.up, second.up]}
"""

FREQUENCIES = 1 / 1e4 ** (torch.arange(0, 8, 2) / 8)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compiler.compile_text(SPEC)


def unsaved(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that no state dict holds."""
    return {name: tensor for name, tensor in model.named_buffers() if name not in model.state_dict()}


def assert_unsaved(model: nn.Module, dtype: torch.dtype = torch.float32, path: str = "") -> None:
    """The unsaved buffers in a part of a model are what their formulas say."""
    values = {
        "freq": FREQUENCIES,
        "step": torch.tensor(7),
        "factor": torch.tensor([0.5]),
        "scale": torch.tensor([2.0]),
    }
    found = {name: tensor for name, tensor in unsaved(model).items() if name.startswith(path)}
    assert len(found) == (3 if path else 7)
    for name, tensor in found.items():
        wanted = values[name.rpartition(".")[2]]
        torch.testing.assert_close(
            tensor, wanted.to(dtype) if wanted.is_floating_point() else wanted, rtol=0, atol=0
        )


def spoil(model: nn.Module) -> None:
    """Write what memory may hold into all tensors, so that raw memory is never right by chance."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(99)


@pytest.fixture
def _raw_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new memory hold something else than zeros."""
    monkeypatch.setattr(
        torch, "empty_like", lambda tensor, device=None: torch.full_like(tensor, 99, device=device)
    )


pytestmark = pytest.mark.usefixtures("_raw_memory")

EMPTIED: dict[str, Callable[[nn.Module], object]] = {
    "itself": lambda model: model.to_empty(device="cpu"),
    "wrapped": lambda model: nn.Sequential(model).to_empty(device="cpu"),
    "in parts": lambda model: [part.to_empty(device="cpu", recurse=False) for part in model.modules()],
    "by way of meta": lambda model: model.to_empty(device="meta").to_empty(device="cpu"),
    "moved to meta": lambda model: model.to("meta").to_empty(device="cpu"),
    "twice": lambda model: model.to_empty(device="cpu").to_empty(device="cpu"),
}


@pytest.mark.parametrize("start", ["cpu", "meta"])
@pytest.mark.parametrize("way", list(EMPTIED))
def test_an_emptied_model(artifact: Artifact, start: str, way: str) -> None:
    model = runtime.build(artifact, device=start)
    EMPTIED[way](model)
    assert model.get_parameter("first.up.weight")[0, 0] == 99  # what is loaded is empty
    assert_unsaved(model)


def test_memory_that_another_function_gives_to_a_model_on_meta(artifact: Artifact) -> None:
    model = runtime.build(artifact, device="meta")
    model._apply(lambda tensor: torch.zeros_like(tensor, device="cpu"))
    assert_unsaved(model)


def test_an_emptied_part(artifact: Artifact) -> None:
    model = runtime.build(artifact, device="cpu")
    spoil(model)
    model.get_submodule("first").to_empty(device="cpu")
    assert_unsaved(model, path="first.")
    assert all(
        (tensor == 99).all() for name, tensor in unsaved(model).items() if not name.startswith("first.")
    )


def test_an_emptied_copy(artifact: Artifact) -> None:
    model = copy.deepcopy(runtime.build(artifact, device="cpu"))
    model.to_empty(device="cpu")
    assert_unsaved(model)


def test_an_emptied_model_that_was_pickled(artifact: Artifact) -> None:
    buffer = io.BytesIO()
    torch.save(runtime.build(artifact, device="cpu"), buffer)
    buffer.seek(0)
    model = torch.load(buffer, weights_only=False)  # noqa: TID251 - our own bytes
    model.to_empty(device="cpu")
    assert_unsaved(model)


def test_the_dtype_of_the_model_is_kept(artifact: Artifact) -> None:
    model = runtime.build(artifact, device="meta").double().half()
    model.to_empty(device="cpu")
    assert_unsaved(model, torch.float16)


def test_conversions_keep_what_the_user_wrote(artifact: Artifact) -> None:
    model = runtime.build(artifact, device="cpu")
    model.get_buffer("scale").fill_(3)
    model.double().to("cpu")
    assert model.get_buffer("scale").item() == 3


def test_a_buffer_that_the_user_replaced_is_left_alone(artifact: Artifact) -> None:
    model = runtime.build(artifact, device="cpu")
    model.register_buffer("scale", torch.ones(5), persistent=False)
    del model.get_submodule("first").factor
    model.to_empty(device="cpu")
    assert model.get_buffer("scale").shape == (5,)
    assert torch.equal(model.get_buffer("first.rotary.freq"), FREQUENCIES)


@pytest.mark.parametrize("start", ["cpu", "meta"])
def test_a_file_that_is_loaded_into_an_emptied_model(artifact: Artifact, start: str, tmp_path: Path) -> None:
    source = runtime.build(artifact, seed=3, device="cpu")
    runtime.save(source, tmp_path / "model.safetensors")
    model = runtime.build(artifact, device=start).to_empty(device="cpu")
    spoil(model)
    runtime.load_into(model, tmp_path / "model.safetensors")
    assert_unsaved(model)
    x = torch.randn(2, 3, 8)
    assert torch.equal(model(x), source(x))
    runtime.save(model, tmp_path / "again.safetensors")
    assert torch.equal(runtime.load(tmp_path / "again.safetensors", device="cpu")(x), source(x))


@pytest.mark.parametrize("assign", [False, True])
def test_a_state_dict_that_is_loaded_into_an_emptied_model(artifact: Artifact, assign: bool) -> None:
    source = runtime.build(artifact, seed=3, device="cpu")
    model = runtime.build(artifact, device="meta").to_empty(device="cpu")
    model.load_state_dict(source.state_dict(), assign=assign)
    x = torch.randn(2, 3, 8)
    assert torch.equal(model(x), source(x))


def test_a_state_dict_that_is_assigned_to_a_model_on_meta(artifact: Artifact) -> None:
    source = runtime.build(artifact, seed=3, device="cpu")
    model = runtime.build(artifact, device="meta")
    model.load_state_dict(source.state_dict(), assign=True)
    assert_unsaved(model)
    x = torch.randn(2, 3, 8)
    assert torch.equal(model(x), source(x))


def test_a_state_dict_that_is_assigned_to_a_part(artifact: Artifact) -> None:
    source = runtime.build(artifact, seed=3, device="cpu")
    model = runtime.build(artifact, device="meta")
    model.get_submodule("first").load_state_dict(source.get_submodule("first").state_dict(), assign=True)
    assert_unsaved(model, path="first.")
    assert model.get_buffer("second.factor").is_meta


def test_a_buffer_of_several_places_stays_one() -> None:
    model = runtime.build(
        compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 3]"}
blocks:
  Scale:
    layers: {up: Linear(3)}
    buffers: {table: {value: "arange(3) / 4", persistent: false}}
    forward: return up(x) * table
model: [Scale, Scale]
share: {table: ["0.table", "1.table"]}
"""),
        device="meta",
    )
    state = {name: torch.ones(tensor.shape) for name, tensor in model.state_dict().items()}
    for fill in (
        lambda: model.load_state_dict(state, assign=True),
        lambda: model.to_empty(device="cpu"),
    ):
        fill()
        assert model.get_buffer("0.table") is model.get_buffer("1.table")
        assert model.get_buffer("0.table").tolist() == [0, 0.25, 0.5]
