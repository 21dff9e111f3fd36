"""System 18: the devices there are, and tensors, models and parts of models on named ones."""

import pytest
import torch
from twins import COURSE, built, compiled, drawn

import compiler
import runtime
from runtime.devices import Device, devices, resolve_device

BY_PART = (COURSE / "18_devices_by_part.yaml").read_text()
accelerator = pytest.mark.skipif(
    not torch.accelerator.is_available(), reason="there is no accelerator on this computer"
)


@pytest.fixture
def two_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Placement as on a computer with two GPUs. Nothing can be put on them here."""
    there = [
        Device("cuda:0", "a GPU", 2**33),
        Device("cuda:1", "a GPU", 2**33),
        Device("cpu", "2 threads", None),
    ]
    monkeypatch.setattr("runtime.devices.devices", lambda: there)


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


def test_the_cpu_is_always_there_and_stands_last() -> None:
    assert devices()[-1].name == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")


def test_accelerators_are_listed_first() -> None:
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    assert len(devices()) == count + 1


def test_auto_is_the_cpu_without_an_accelerator(no_accelerator: None) -> None:
    assert [device.name for device in devices()] == ["cpu"]
    assert resolve_device("auto") == torch.device("cpu")
    model = runtime.build(compiled("18_devices"))
    assert {each.device.type for each in model.parameters()} == {"cpu"}


def test_auto_is_the_first_accelerator(two_accelerators: None) -> None:
    assert resolve_device("auto") == torch.device("cuda:0")


@pytest.mark.parametrize(
    ("name", "device"), [("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_devices_are_named(name: str, device: str, two_accelerators: None) -> None:
    assert resolve_device(name) == torch.device(device)


@pytest.mark.parametrize("name", ["cuda:2", "mps", "gpu", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(name: str, two_accelerators: None) -> None:
    with pytest.raises(ValueError, match="cuda:0, cuda:1, cpu"):
        resolve_device(name)


@pytest.mark.parametrize("device", ["cuda:7", "mps", "xpu:3"])
def test_a_rule_for_a_missing_device_is_named_with_the_way_out(device: str, no_accelerator: None) -> None:
    text = (COURSE / "18_devices.yaml").read_text().replace("/: auto", f"/: '{device}'")
    artifact = compiler.compile_text(text)
    with pytest.raises(compiler.SpecError) as caught:
        runtime.build(artifact)
    (found,) = caught.value.diagnostics
    assert found.code == "missing-device"
    assert device in found.message
    assert text.splitlines()[found.span.line - 1] == f"  - /: '{device}'"
    assert "--device cpu" in str(found.help)


def test_the_caller_may_choose_another_device(no_accelerator: None) -> None:
    text = (COURSE / "18_devices.yaml").read_text().replace("/: auto", "/: cuda:7")
    model = runtime.build(compiler.compile_text(text), device="cpu")
    assert model(drawn(2, 3)).device.type == "cpu"
    with pytest.raises(ValueError, match="there is no device `cuda:7` here"):
        runtime.build(compiled("18_devices"), device="cuda:7")


def test_parts_are_placed_by_rules_of_which_the_later_ones_win() -> None:
    artifact = compiled("18_devices_by_part")
    assert {row.name: row.device for row in artifact.plan.rows} == dict.fromkeys(
        ["features.weight", "features.bias", "head.weight", "head.bias"], "cpu"
    )
    for row in artifact.plan.rows:
        rules = [decision for decision in row.decisions if decision.section == "placement"]
        assert [(rule.place.line, rule.won) for rule in rules] == [
            (13, False),
            (14 if row.name.startswith("features") else 15, True),
        ]
    model = runtime.build(artifact)
    assert model(drawn(2, 3)).device.type == "cpu"


def test_values_move_between_parts_on_two_devices() -> None:
    artifact = compiler.compile_text(BY_PART.replace("- head: cpu", "- head: meta"))
    model = runtime.build(artifact)
    assert {name: each.device.type for name, each in model.named_parameters()} == {
        "features.weight": "cpu",
        "features.bias": "cpu",
        "head.weight": "meta",
        "head.bias": "meta",
    }
    assert model(drawn(2, 3)).is_meta
    assert artifact.source.count(".to(") == 1


def test_tensors_that_a_model_makes_are_on_the_device_of_its_inputs() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 16]"}
model:
  layers: {linear: Linear(4)}
  forward: |
    return linear(x + arange(x.shape[1])) + ones(4)
"""
    artifact = compiler.compile_text(text)
    assert runtime.build(artifact, device="cpu")(torch.zeros(2, 16)).device.type == "cpu"
    # The device "meta" is always there: a factory that fell back to the CPU would give an error.
    assert runtime.build(artifact, device="meta")(torch.zeros(2, 16, device="meta")).is_meta


def test_a_model_moves() -> None:
    model = built("18_devices").to("meta")
    assert all(each.is_meta for each in model.parameters())
    assert model(torch.zeros(2, 3, device="meta")).is_meta


@accelerator
def test_a_tensor_and_a_model_on_the_accelerator() -> None:
    model, twin = runtime.build(compiled("18_devices")), built("18_devices")
    x = drawn(2, 3)
    there = resolve_device("auto")
    assert {each.device for each in model.parameters()} == {there}
    for name, parameter in twin.named_parameters():
        assert torch.equal(model.get_parameter(name).cpu(), parameter)
    output = model(x.to(there))
    assert output.device == there
    torch.testing.assert_close(output.cpu(), twin(x))


@accelerator
def test_parts_of_a_model_on_the_accelerator() -> None:
    name = str(resolve_device("auto"))
    artifact = compiler.compile_text(BY_PART.replace(": cpu", f": {name}").replace("/: auto", f"/: {name}"))
    model = runtime.build(artifact)
    assert {str(each.device) for each in model.parameters()} == {name}
    assert str(model(drawn(2, 3).to(name)).device) == name


@accelerator
def test_parts_on_the_cpu_and_on_the_accelerator() -> None:
    name = str(resolve_device("auto"))
    model = runtime.build(compiler.compile_text(BY_PART.replace("- head: cpu", f"- head: {name}")))
    assert str(model(drawn(2, 3)).device) == name
