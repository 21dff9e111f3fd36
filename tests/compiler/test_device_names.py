"""Names of devices in a spec and in `--device`: those that torch knows, whether they are there or not."""

from __future__ import annotations

import re

import pytest
import torch

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.devices import DEVICE_TYPES, LAST_INDEX, device_name, device_problem
from compiler.other_devices import place
from runtime.devices import resolve_device


def made(placement: str) -> Artifact:
    return compiler.compile_text(f"""
spec: 1
inputs: {{x: "float[batch, 8]"}}
model: [fc: Linear(4)]
placement: [{placement}]
""")


def test_the_types_are_those_of_torch() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.device("none")
    listed = re.search(r"one of (.*) device type", str(caught.value))
    assert listed
    assert sorted(listed[1].split(", ")) == sorted(DEVICE_TYPES)


@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_torch_takes_the_numbers_that_a_spec_may_give(kind: str) -> None:
    for name in (kind, f"{kind}:0", f"{kind}:{LAST_INDEX}"):
        assert device_problem(name, None) is None
        assert str(torch.device(name)) == name
    beyond = f"{kind}:{LAST_INDEX + 1}"
    assert device_problem(beyond, None) is not None
    assert str(torch.device(beyond)) != beyond


WRONG = [
    ("cudda:0", "did you mean `cuda:0`?"),
    ("CPU", "did you mean `cpu`?"),
    ("autoo", "did you mean `auto`?"),
    ("cuda:x", "number it from 0: `cuda:0`"),
    ("cuda:-1", "number it from 0: `cuda:0`"),
    ("cuda:99999", "number it from 0: `cuda:0`"),
    ("GPU:1", "did you mean `cuda:1`?"),
    ("tensor", "write `auto` for the first accelerator, `cpu`, or a device of torch, such as `cuda:1`"),
]


@pytest.mark.parametrize(("name", "help"), WRONG)
def test_no_name_of_a_device(name: str, help: str) -> None:
    for form in ('{{/: "{}"}}', '{{fc: {{device: "{}"}}}}'):
        with pytest.raises(SpecError) as caught:
            made(form.format(name))
        (problem,) = caught.value.diagnostics
        assert (problem.code, problem.help, problem.span.text.strip('"')) == ("unknown-device", help, name)
    with pytest.raises(SpecError) as option:
        place(made(""), {"fc": name})
    assert [(each.code, each.span.text) for each in option.value.diagnostics] == [("unknown-device", name)]
    with pytest.raises(ValueError, match=re.escape(help)):
        resolve_device(name)


@pytest.mark.parametrize("name", ["auto", "cpu", "cpu:0", "meta", "cuda", "cuda:7", "mps", "xpu:1"])
def test_a_device_that_need_not_be_there(name: str) -> None:
    (weight, _) = made(f'{{/: "{name}"}}').plan.rows
    assert weight.device == device_name(name)


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_one_device_has_one_name(name: str) -> None:
    artifact = made('{/: cpu}, {fc.bias: "cpu:0"}')
    assert {str(p.device) for p in runtime.build(artifact, seed=0, device=name).parameters()} == {"cpu"}


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64"])
def test_a_model_has_a_floating_dtype(dtype: str) -> None:
    with pytest.raises(SpecError) as caught:
        made(f"{{/: {{dtype: {dtype}}}}}")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.message) == ("unknown-dtype", f"a model cannot be `{dtype}`")
