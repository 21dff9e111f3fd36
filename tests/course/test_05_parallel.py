"""System 5: two convolution nets over one input, joined on the channels."""

import pytest
import torch
from torch import Tensor, nn
from twins import assert_same, assert_twins, built, drawn


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.MaxPool2d(2))


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = net()
        self.second = net()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.first(x), self.second(x)), dim=1)


IMAGE = drawn(2, 3, 10, 12)


def test_built_in_form_is_the_module_written_by_hand() -> None:
    assert_twins(built("05_parallel"), Joined(), IMAGE)


def test_block_of_two_blocks_is_the_module_written_by_hand() -> None:
    assert_twins(built("05_parallel_block"), nn.Sequential(Joined()), IMAGE)


def test_both_forms_agree() -> None:
    built_in, block = built("05_parallel"), built("05_parallel_block")
    block[0].load_state_dict(built_in.state_dict())
    assert_same(block[0], built_in, IMAGE)


@pytest.mark.parametrize("name", ["05_parallel", "05_parallel_block"])
def test_branches_are_two_and_keep_their_order(name: str) -> None:
    model = built(name)
    output = model(IMAGE)
    assert output.shape == (2, 128, 4, 5)
    branches = model if name == "05_parallel" else model[0]
    first, second = branches.get_submodule("first"), branches.get_submodule("second")
    assert not torch.equal(first[0].weight, second[0].weight)
    assert torch.equal(output[:, :64], first(IMAGE))
    assert torch.equal(output[:, 64:], second(IMAGE))
