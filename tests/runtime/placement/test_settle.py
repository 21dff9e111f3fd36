"""A model on the devices of this computer: the caller's choice, what is not there, and `auto`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compiler
import runtime
from compiler.other_devices import devices_of
from runtime.classes import artifact_of
from runtime.devices import Device, resolve_device
from runtime.placement import settle

SPEC = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  - encoder: [Linear(8), BatchNorm1d, ReLU]
  - decoder: [Linear(8), Linear(8)]
"""
PLACED = SPEC + "placement: [{encoder: cpu}, {decoder: meta}]\n"
SIZES = {"encoder": (8 * 8 + 8 + 4 * 8) * 4 + 8, "decoder": 2 * (8 * 8 + 8) * 4}

accelerator = pytest.mark.skipif(
    not torch.accelerator.is_available(), reason="there is no accelerator on this computer"
)


def computer(monkeypatch: pytest.MonkeyPatch, *memories: int | None) -> None:
    """Stand on a computer with accelerators that have so many bytes. Nothing can be put on them here."""
    there = [Device(f"cuda:{at}", "a GPU", memory) for at, memory in enumerate(memories)]
    monkeypatch.setattr("runtime.devices.devices", lambda: [*there, Device("cpu", "a CPU", None)])


def placed(artifact: compiler.Artifact) -> dict[str, str]:
    return {row.name.partition(".")[0]: row.device for row in artifact.plan.rows}


# --- the caller's choice --------------------------------------------------------------------------------


def test_parts_are_where_the_spec_or_the_caller_puts_them() -> None:
    model = runtime.build(compiler.compile_text(PLACED))
    assert {n.partition(".")[0]: p.device.type for n, p in model.named_parameters()} == {
        "encoder": "cpu",
        "decoder": "meta",
    }
    assert model(torch.zeros(2, 8)).is_meta
    other = runtime.build(compiler.compile_text(SPEC), device={"encoder": "meta", "decoder": "cpu"})
    assert other.get_parameter("encoder.0.weight").is_meta
    assert not other.get_parameter("decoder.0.weight").is_meta
    assert ".to(" in artifact_of(other).source


def test_one_device_for_all_leaves_no_moves() -> None:
    model = runtime.build(compiler.compile_text(PLACED), device="cpu")
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert ".to(" not in artifact_of(model).source


def test_values_do_not_depend_on_the_placement() -> None:
    whole = runtime.build(compiler.compile_text(SPEC), seed=3, device="cpu").state_dict()
    for placement in ({"decoder": "meta"}, {"encoder": "meta"}):
        part = runtime.build(
            compiler.compile_text(SPEC), seed=3, device={"/": "cpu", **placement}
        ).state_dict()
        there = {name: tensor for name, tensor in part.items() if not tensor.is_meta}
        assert 0 < len(there) < len(whole)
        assert all(torch.equal(tensor, whole[name]) for name, tensor in there.items())


def test_a_saved_model_is_loaded_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    runtime.save(model, path)
    loaded = runtime.load(path, device={"encoder": "cpu", "decoder": "meta"})
    assert torch.equal(loaded.get_parameter("encoder.0.weight"), model.get_parameter("encoder.0.weight"))
    assert loaded.get_parameter("decoder.0.weight").is_meta


def test_a_device_that_is_not_there_is_named_with_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    computer(monkeypatch)
    text = PLACED.replace("meta", "'cuda:1'")
    for artifact, devices, place, line in (
        (compiler.compile_text(text), None, "spec.yaml", 6),
        (compiler.compile_text(SPEC), {"encoder": "cpu", "decoder": "cuda:1"}, "--device", 1),
    ):
        with pytest.raises(compiler.SpecError) as caught:
            runtime.build(artifact, device=devices)
        (found,) = caught.value.diagnostics
        assert found.code == "missing-device"
        assert found.span is not None
        assert (found.span.file.name, found.span.line) == (place, line + (place == "spec.yaml"))
        assert found.message == "there is no device `cuda:1` here, only cpu"
        assert "--device cpu" in str(found.help)
    assert runtime.build(compiler.compile_text(text), device="cpu") is not None
    assert runtime.build(compiler.compile_text(text), device={"decoder": "cpu"}) is not None


# --- auto -----------------------------------------------------------------------------------------------


def test_auto_is_one_accelerator_if_that_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile_text(SPEC)
    computer(monkeypatch, 2**30, 2**30)
    assert settle(artifact, None) is artifact
    assert resolve_device("auto") == torch.device("cuda:0")
    computer(monkeypatch, None)
    assert settle(artifact, None) is artifact


def test_auto_fills_accelerators_where_one_has_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile_text(SPEC)
    room = int(max(SIZES.values()) / 0.8) + 1
    computer(monkeypatch, room, room)
    settled = settle(artifact, None)
    assert placed(settled) == {"encoder": "cuda:0", "decoder": "cuda:1"}
    assert "self.decoder(x.to(" in settled.source
    assert devices_of(artifact.plan) == ["auto"]


def test_what_is_placed_on_an_accelerator_takes_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile_text(SPEC + "placement: [{encoder: 'cuda:0'}]\n")
    computer(monkeypatch, int(SIZES["encoder"] / 0.8) + 100, 2**30)
    assert placed(settle(artifact, None)) == {"encoder": "cuda:0", "decoder": "cuda:1"}


def test_too_little_on_all_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compiler.compile_text(SPEC)
    computer(monkeypatch, int(SIZES["encoder"] / 0.8) + 1, int(SIZES["encoder"] / 0.8) + 1)
    with pytest.raises(compiler.SpecError, match=r"too-large-to-build.*2 accelerators"):
        settle(artifact, None)
    assert placed(settle(artifact, None, allow_large=True)) == {"encoder": "cuda:0", "decoder": "cuda:1"}


def test_the_memory_of_each_device_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    computer(monkeypatch, 100)
    with pytest.raises(compiler.SpecError, match=r"too-large-to-build: .* is the limit on cuda:0"):
        runtime.build(compiler.compile_text(SPEC), device={"/": "cpu", "decoder": "cuda:0"})


# --- training -------------------------------------------------------------------------------------------


def test_the_trainer_wants_one_device(tmp_path: Path) -> None:
    text = PLACED + (
        "train: {data: {file: a.npz, x: x, y: y}, loss: 'mse_loss(output, y)', optimizer: SGD(lr=0.1), epochs: 1, "
        "batch: 2}\n"
    )
    with pytest.raises(compiler.SpecError) as caught:
        runtime.train(compiler.compile_text(text), out=tmp_path)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (
        "several-devices",
        "a model is trained on one device, and this one is on cpu and meta",
    )
    assert "--device cpu" in str(found.help)


# --- an accelerator -------------------------------------------------------------------------------------


@accelerator
@pytest.mark.parametrize("parts", [("cpu", "auto"), ("auto", "cpu")])
def test_a_model_that_is_half_on_an_accelerator(parts: tuple[str, str]) -> None:
    there = [str(resolve_device(part)) for part in parts]
    devices = dict(zip(("encoder", "decoder"), there, strict=True))
    model = runtime.build(compiler.compile_text(SPEC), device=devices)
    twin = runtime.build(compiler.compile_text(SPEC), device="cpu")
    x = torch.randn(4, 8)
    output, wanted = model(x.to(there[0])), twin(x)
    assert str(output.device) == there[1]
    torch.testing.assert_close(output.cpu(), wanted, rtol=1e-4, atol=1e-5)
    output.square().sum().backward()
    wanted.square().sum().backward()
    for name, parameter in twin.named_parameters():
        own = model.get_parameter(name)
        assert str(own.device) == devices[name.partition(".")[0]]
        torch.testing.assert_close(own.grad.cpu(), parameter.grad, rtol=1e-3, atol=1e-4)  # type: ignore[union-attr]
