"""Systems 6 and 7: repeated blocks, and containers in containers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from twins import COURSE, ROOT, assert_twins, built, compiled, drawn

import runtime


def repeated(copies: int) -> nn.Sequential:
    sizes = [64, *[128] * copies]
    blocks = [nn.Sequential(nn.Linear(size, 128), nn.ReLU(), nn.Linear(128, 128)) for size in sizes[:copies]]
    return nn.Sequential(nn.Sequential(*blocks), nn.Linear(128, 10))


@pytest.mark.parametrize("copies", [1, 3, 5])
def test_repeated_blocks_are_those_written_by_hand(copies: int) -> None:
    model = built("06_repeated_blocks", set={"copies": copies})
    assert_twins(model, repeated(copies), drawn(4, 64))


def test_all_copies_are_registered() -> None:
    model = built("06_repeated_blocks", set={"copies": 5})
    assert len(model[0]) == 5
    assert len({id(each) for each in model[0].parameters()}) == 5 * 4
    sizes = [64 * 128, *[128 * 128] * 9]
    assert sum(each.numel() for each in model[0].parameters()) == sum(sizes) + 10 * 128


def test_all_copies_are_trained() -> None:
    model = built("06_repeated_blocks")
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    nn.functional.cross_entropy(model(drawn(8, 64)), torch.arange(8)).backward()
    optimizer.step()
    assert {name.split(".")[1] for name in before if name.startswith("0.")} == {"0", "1", "2"}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, name
        assert not torch.equal(parameter, before[name]), name


def nested() -> nn.Sequential:
    def block1() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())

    return nn.Sequential(nn.Sequential(*[block1() for _ in range(4)]), nn.Linear(4, 1))


def test_nested_containers_are_those_written_by_hand() -> None:
    assert_twins(built("07_nested_containers"), nested(), drawn(2, 4))


def test_index_and_dotted_path_reach_the_same_parameter() -> None:
    rgnet = built("07_nested_containers")
    assert rgnet[0][1][0].bias is rgnet.get_parameter("0.1.0.bias")
    assert rgnet[0][1][0].bias is dict(rgnet.named_parameters())["0.1.0.bias"]
    with torch.no_grad():
        rgnet[0][1][0].bias[0] = 42
    assert rgnet.state_dict()["0.1.0.bias"][0] == 42


def test_the_plan_lists_names_and_shapes() -> None:
    rows = [(row.name, row.shape) for row in compiled("07_nested_containers").plan.rows]
    assert rows == [(name, tuple(each.shape)) for name, each in nested().named_parameters()]


def params(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "compiler", "params", *arguments, "--format", "json"]
    listed: list[dict[str, Any]] = json.loads(subprocess.check_output(command, cwd=ROOT, text=True))
    return listed


def test_params_lists_names_and_shapes() -> None:
    rows = [(row["name"], row["shape"]) for row in params(str(COURSE / "07_nested_containers.yaml"))]
    assert rows == [(name, list(each.shape)) for name, each in nested().named_parameters()]


def test_params_shows_the_parameter_of_a_dotted_path(tmp_path: Path) -> None:
    rgnet = built("07_nested_containers")
    runtime.save(rgnet, tmp_path / "rgnet.safetensors")
    (row,) = params(str(tmp_path / "rgnet.safetensors"), "/0.1.0.bias")
    assert row["name"] == "0.1.0.bias"
    assert torch.equal(torch.tensor(row["values"]), rgnet[0][1][0].bias)
