"""Systems 11 and 12: layers of one's own, without parameters and with them, in the spec and in Python."""

import pytest
import torch
from torch import Tensor, nn
from twins import PLUGIN, assert_same, assert_twins, built, compiled, drawn

import compiler


class CenteredLayer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean()


class MyLinear(nn.Module):
    def __init__(self, in_features: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, units))
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(torch.matmul(x, self.weight) + self.bias)


def my_linear(form: str) -> nn.Module:
    return built(form, plugins=[PLUGIN] if form.endswith("plugin") else [])


forms = pytest.mark.parametrize("form", ["12_my_linear", "12_my_linear_plugin"])


def test_centered_layer_is_the_module_written_by_hand() -> None:
    assert_twins(built("11_centered_layer"), nn.Sequential(nn.Linear(8, 128), CenteredLayer()), drawn(4, 8))


def test_centered_layer_gives_zero_mean() -> None:
    model = built("11_centered_layer").double()
    for scale in (1, 1000):
        x = 50 + scale * drawn(4, 8).double()
        assert model[0](x).mean().abs() > 1
        assert model(x).mean().abs() < 1e-12 * scale


def test_centered_layer_has_no_parameters() -> None:
    layer = built("11_centered_layer")[1]
    assert not list(layer.parameters())
    assert not list(layer.buffers())


@forms
def test_my_linear_is_the_module_written_by_hand(form: str) -> None:
    assert_twins(my_linear(form), nn.Sequential(MyLinear(20, 8), MyLinear(8, 1)), drawn(16, 20))


@forms
def test_gradients_reach_weight_and_bias(form: str) -> None:
    model, x = my_linear(form).double(), drawn(16, 20).double()
    model(x).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, name
    weight, bias = model[1].weight, model[1].bias
    hidden = model[0](x)
    active = (hidden @ weight + bias > 0).double()
    torch.testing.assert_close(weight.grad, hidden.T @ active)
    torch.testing.assert_close(bias.grad, active.sum(dim=0))


@forms
def test_my_linear_starts_as_its_rules_say(form: str) -> None:
    model = my_linear(form)
    assert torch.equal(model[0].bias, torch.zeros(8))
    assert abs(model[0].weight.mean()) < 4 / 160**0.5
    assert abs(model[0].weight.std() - 1) < 4 / 320**0.5


def test_both_forms_are_the_same() -> None:
    block, plugin = my_linear("12_my_linear"), my_linear("12_my_linear_plugin")
    plugin.load_state_dict(block.state_dict())
    assert_same(block, plugin, drawn(16, 20))


def test_the_registered_layer_is_the_class_of_the_plugin() -> None:
    layer = my_linear("12_my_linear_plugin")[0]
    assert type(layer).__name__ == "MyLinear"
    assert type(layer).__doc__ == "A fully connected layer that ends in ReLU."
    assert layer.weight.shape == (20, 8)  # `in_features` was inferred


def test_a_required_plugin_that_is_not_given_is_missed() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiled("12_my_linear_plugin")
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.line) == ("missing-plugin", 4)
    assert found.help is not None
    assert "--plugin my_layers.py" in found.help
