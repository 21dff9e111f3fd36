"""What hostile specs brought to light, each as small as it gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import compiler
import runtime
from tests.hostile.trials import check_shown
from tests.zoo.parity import stand_alone

HEAD = 'spec: 1\ninputs: {x: "float[batch, 4]"}\n'
ELLIPSIS_AS_A_VALUE = {
    "index": 'vars: {n: "..."}\nmodel:\n  forward: |\n    return x[n]\n',
    "argument": 'vars: {n: "..."}\nblocks:\n  B(k): [ReLU]\nmodel: [B(n)]\n',
    "list": "vars: {n: '[...]'}\nmodel: [{repeat: n, of: ReLU}]\n",
    "local": "model:\n  forward: |\n    n = ...\n    return x[n]\n",
    "output": "model:\n  forward: |\n    return x, ...\n",
}


def refused(text: str) -> list[str]:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    check_shown(caught.value.diagnostics)
    return [found.code for found in caught.value.diagnostics]


@pytest.mark.parametrize("place", ELLIPSIS_AS_A_VALUE)
def test_an_ellipsis_is_an_index_and_no_value(place: str) -> None:
    assert refused(HEAD + ELLIPSIS_AS_A_VALUE[place]) == ["not-in-language"]


def test_an_ellipsis_in_an_index_is_what_it_always_was() -> None:
    compiler.compile_text(
        HEAD + "model:\n  forward: |\n    return x[...] + x[..., :1] + x[(..., 0)][:, None]\n"
    )


NAMELESS = {"long": "a" * 5000, "deep": "a/" * 3000 + "b", "nul": "a\0b", "surrogate": "\ud800"}


@pytest.mark.parametrize("name", NAMELESS.values(), ids=list(NAMELESS))
def test_an_import_that_no_system_has_a_name_for_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    imported = {"import": {f"{name}.yaml": ["A"]}}
    path.write_text(json.dumps({"spec": 1, **imported, "inputs": {"x": "float[2]"}, "model": "ReLU"}))
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile(path)
    check_shown(caught.value.diagnostics)


@pytest.mark.parametrize("over", ["[Linear(8), ReLU]", "[Linear(n), act]"])
def test_copies_counted_by_a_list_of_layers(over: str) -> None:
    body = (
        f'blocks:\n  B(n, act): [{{repeat: \'{over}\', of: Tanh}}]\nmodel: ["B(2, ReLU)", "B(3, Sigmoid)"]\n'
    )
    model = runtime.build(compiler.compile_text(HEAD + body))
    assert [type(each) for each in model[1]] == [nn.Tanh, nn.Tanh]


def test_what_is_missing_at_the_end_of_a_file_is_inside_it() -> None:
    assert refused(HEAD + "model:\n  - ReLU\n  -") == ["wrong-type"]


NUMBERS = [
    "2 + 3",
    "len([1, 2])",
    "-1",
    "zeros(2, 3).shape",
    "[i for i in range(3)]",
    "max(1, 2) * 0.5",
    "2 > 1",
    "(1, 2)",
]


@pytest.mark.parametrize("value", NUMBERS)
def test_a_buffer_of_a_number_that_is_computed(value: str) -> None:
    program = f"        y = arange(4)\n        return {value}\n"
    buffers = f'    a: {{value: "{value}"}}\n    b:\n      value: |\n{program}'
    body = f"model:\n  buffers:\n{buffers}  forward: return x + a.sum() + b.sum()\n"
    artifact = compiler.compile_text(HEAD + body)
    model, alone = runtime.build(artifact), stand_alone(artifact)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, alone.get_buffer(name))
        assert buffer.dtype == alone.get_buffer(name).dtype


def test_copies_counted_by_a_number_in_one_place_and_by_a_list_in_another() -> None:
    blocks = "blocks:\n  B(n): [{repeat: n, of: Linear(4)}, {splice: [Tanh, ReLU], repeat: n}]\n"
    artifact = compiler.compile_text(HEAD + blocks + "model: [B(2), 'B([7, 8, 9])']\n")
    assert [len([*each]) for each in runtime.build(artifact).children()] == [2 + 4, 3 + 6]
    assert [len([*each]) for each in stand_alone(artifact).children()] == [2 + 4, 3 + 6]
