"""Systems 1 and 2: a multilayer perceptron as a block, and as a sequence."""

import torch
from torch import Tensor, nn
from twins import assert_twins, built, drawn


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(x)))


def test_mlp_is_the_module_written_by_hand() -> None:
    assert_twins(built("01_mlp"), MLP(), drawn(2, 20))


def test_relu_is_an_operation_and_no_layer() -> None:
    model = built("01_mlp")
    assert [type(module) for module in model.children()] == [nn.Linear, nn.Linear]


def test_sequential_is_the_one_written_by_hand() -> None:
    twin = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    assert list(twin.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert_twins(built("02_sequential"), twin, drawn(2, 784))


def test_sequential_keeps_the_order_of_its_items() -> None:
    model = built("02_sequential")
    assert isinstance(model, nn.Sequential)
    assert [type(module) for module in model] == [nn.Linear, nn.ReLU, nn.Linear]
