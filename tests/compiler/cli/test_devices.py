"""`devices SPEC`, and `--device` for parts of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.cli.outcome import UsageProblem
from compiler.cli.placing import read_devices
from tests.compiler.cli.conftest import Call

SPEC = """\
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  - encoder: [Linear(8), BatchNorm1d]
  - decoder: Linear(8)
placement:
  - /: cuda:0
  - decoder: cuda:1
freeze: [decoder]
"""
ENCODER, BUFFERS, DECODER = (64 + 8 + 16) * 4, 16 * 4 + 8, 72 * 4


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "parts.yaml"
    path.write_text(SPEC)
    return str(path)


@pytest.mark.parametrize(
    ("given", "devices"),
    [
        (None, None),
        (["cpu"], "cpu"),
        (["encoder=cuda:0"], {"encoder": "cuda:0"}),
        (["encoder=cuda:0", "decoder=cpu"], {"encoder": "cuda:0", "decoder": "cpu"}),
        (["encoder = cuda:0, decoder=cpu"], {"encoder": "cuda:0", "decoder": "cpu"}),
        (["h.{0,1}=cuda:0,h.[2-3]=cpu"], {"h.{0,1}": "cuda:0", "h.[2-3]": "cpu"}),
        (["cpu,decoder=cuda:1"], {"/": "cpu", "decoder": "cuda:1"}),
        (["cpu", "cuda:0"], "cuda:0"),
        (["a=cpu", "b=cpu", "a=cuda:0"], {"b": "cpu", "a": "cuda:0"}),
    ],
)
def test_what_device_options_say(given: list[str] | None, devices: object) -> None:
    found = read_devices(given)
    assert found == devices
    if isinstance(found, dict):
        assert list(found) == list(devices)  # type: ignore[call-overload]


@pytest.mark.parametrize("given", ["", "encoder=", "=cpu", "cpu,", "encoder=cpu,,"])
def test_a_device_option_that_names_nothing(given: str) -> None:
    with pytest.raises(UsageProblem, match="names no device"):
        read_devices([given])


def needs(device: str, parameters: int, buffers: int, gradients: int) -> dict[str, object]:
    total = parameters + buffers + gradients
    sizes = {"parameters": parameters, "buffers": buffers, "gradients": gradients, "total": total}
    return {"device": device, **sizes}


def test_what_a_model_needs_on_each_device(cli: Call, spec: str) -> None:
    found = json.loads(cli("devices", spec, "--format", "json").stdout)
    assert found["devices"] == [
        needs("cuda:0", ENCODER, BUFFERS, ENCODER),
        needs("cuda:1", DECODER, 0, 0),
    ]
    assert found["moves"] == [{"place": f"{spec}:5:14", "from": "cuda:0", "to": "cuda:1"}]
    assert cli("devices", spec, "--format", "short").stdout.splitlines()[1] == "cuda:1: 0.281 KiB"
    text = cli("devices", spec).stdout
    assert "gradients" in text
    assert "parts.yaml:5:14: from cuda:0 to cuda:1\n" in text


def test_the_caller_places_a_model_on_devices_that_are_not_there(cli: Call, spec: str) -> None:
    found = json.loads(cli("devices", spec, "--device", "decoder=cuda:7", "--format", "json").stdout)
    assert [each["device"] for each in found["devices"]] == ["cuda:0", "cuda:7"]
    found = json.loads(cli("devices", spec, "--device", "cpu", "--format", "json").stdout)
    assert ([each["device"] for each in found["devices"]], found["moves"]) == (["cpu"], [])


def test_options_of_a_spec_want_one(cli: Call) -> None:
    result = cli("devices", "--device", "cpu")
    assert result.exit_code == 2
    assert "devices SPEC" in result.stderr


def test_a_model_is_run_in_parts(cli: Call, spec: str) -> None:
    assert cli("run", spec, "--device", "encoder=cpu,decoder=cpu").exit_code == 0
    assert cli("run", spec, "--device", "encoder=cpu", "--device", "decoder=cpu").exit_code == 0


def test_wrong_parts_are_said(cli: Call, spec: str) -> None:
    missing = cli("run", spec, "--device", "encoder=cpu,decoder=cuda:99")
    assert missing.exit_code == 2
    assert "there is no device `cuda:99` here" in missing.stderr
    unknown = cli("run", spec, "--device", "/=cpu,dekoder=cpu")
    assert unknown.exit_code == 1
    assert "--device:1:1" in unknown.stderr
    assert "did you mean `decoder`?" in unknown.stderr
