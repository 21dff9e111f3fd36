"""System 8: initial values by type, by layer and by parameter, by named laws and by one's own, and from a file."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from twins import assert_twins, built, compiled, drawn

import compiler
import runtime

Distribution = Callable[[Tensor], Tensor]


def uniform(low: float, high: float) -> Distribution:
    return lambda x: ((x - low) / (high - low)).clamp(0, 1)


def normal(mean: float, std: float) -> Distribution:
    return lambda x: 0.5 * (1 + torch.erf((x - mean) / (std * math.sqrt(2))))


def follows(values: Tensor, law: Distribution) -> bool:
    """The Kolmogorov-Smirnov test: whether values may be of a law, at a level of one in ten thousand."""
    x = values.detach().double().flatten().sort().values
    wanted, count = law(x), x.numel()
    above = torch.arange(1, count + 1) / count - wanted
    below = wanted - torch.arange(count) / count
    distance = max(above.max().item(), below.max().item())
    return math.sqrt(count) * distance < 2.23  # 2 exp(-2 · 2.23²) < 1e-4


def test_the_test_of_laws_tells_near_laws_apart() -> None:
    values = drawn(256, 64) * 0.01
    assert follows(values, normal(0, 0.01))
    assert not follows(values, normal(0, 0.011))
    assert not follows(values, normal(0.001, 0.01))
    assert not follows(values, uniform(-0.03, 0.03))


def test_by_type() -> None:
    model = built("08_init_by_type")
    for layer in (model[0], model[2]):
        assert follows(layer.weight, normal(0, 0.01))
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))
    assert not torch.equal(model[0].weight[:128, :64], model[2].weight[:, :64])


def test_constants_for_a_type_a_layer_and_a_parameter() -> None:
    state = built("08_init_constants").state_dict()
    assert torch.equal(state["hidden.weight"], torch.ones(8, 4))
    assert torch.equal(state["hidden.bias"], torch.ones(8))
    assert torch.equal(state["output.weight"], torch.full((1, 8), 42.0))
    assert torch.equal(state["output.bias"], torch.zeros(1))


def test_a_law_for_each_layer() -> None:
    model = built("08_init_by_layer")
    xavier = 5 / 3 * math.sqrt(6 / (64 + 256))
    assert follows(model.tanh_layer.weight, uniform(-xavier, xavier))
    assert model.tanh_layer.weight.abs().max() <= xavier
    assert follows(model.relu_layer.weight, normal(0, math.sqrt(2 / 256)))
    assert torch.equal(model.output.weight, torch.full((1, 128), 42.0))


def test_the_laws_are_those_of_torch() -> None:
    torch.manual_seed(0)
    xavier, kaiming = torch.empty(256, 64), torch.empty(128, 256)
    nn.init.xavier_uniform_(xavier, gain=5 / 3)
    nn.init.kaiming_normal_(kaiming, nonlinearity="relu")
    bound = 5 / 3 * math.sqrt(6 / (64 + 256))
    assert follows(xavier, uniform(-bound, bound))
    assert follows(kaiming, normal(0, math.sqrt(2 / 256)))


@pytest.mark.parametrize("layer", ["mixture", "expression"])
def test_a_law_of_ones_own(layer: str) -> None:
    weight = built("08_init_custom").get_parameter(f"{layer}.weight").detach()
    count = weight.numel()
    for part, probability in ((weight == 0, 1 / 2), (weight > 0, 1 / 4), (weight < 0, 1 / 4)):
        spread = math.sqrt(count * probability * (1 - probability))
        assert abs(part.sum().item() - count * probability) < 4 * spread
    assert follows(weight[weight > 0], uniform(5, 10))
    assert follows(weight[weight < 0], uniform(-10, -5))
    assert ((weight == 0) | ((weight.abs() >= 5) & (weight.abs() <= 10))).all()


def test_neighbours_of_a_law_of_ones_own_are_independent() -> None:
    for layer in ("mixture", "expression"):
        zero = (built("08_init_custom").get_parameter(f"{layer}.weight") == 0).double().flatten() - 0.5
        correlation = (zero[1:] * zero[:-1]).mean() / 0.25
        assert abs(correlation) < 4 / math.sqrt(zero.numel())


@pytest.mark.parametrize("name", ["08_init_by_type", "08_init_by_layer", "08_init_custom"])
def test_values_follow_from_the_seed(name: str) -> None:
    first, again, other = built(name, 0), built(name, 0), built(name, 1)
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])
    assert any(not torch.equal(tensor, other.state_dict()[key]) for key, tensor in first.state_dict().items())


OTHER = {"backbone.other.weight": torch.zeros(3, 3)}
"""What the file has beside the encoder, and the spec skips."""


@pytest.fixture
def pretrained(tmp_path: Path) -> dict[str, Tensor]:
    shapes = {"0.weight": (32, 20), "0.bias": (32,), "2.weight": (16, 32), "2.bias": (16,)}
    tensors = {f"backbone.encoder.{name}": drawn(*shape) for name, shape in shapes.items()}
    save_file({**tensors, **OTHER}, tmp_path / "pretrained.safetensors")
    return tensors


def test_values_from_a_pretrained_file(pretrained: dict[str, Tensor], tmp_path: Path) -> None:
    model = runtime.build(compiled("08_init_pretrained"), device="cpu", folder=tmp_path)
    for name, tensor in pretrained.items():
        assert torch.equal(model.get_parameter(name.removeprefix("backbone.")), tensor)
    assert model.get_parameter("head.weight").abs().max() <= 1 / math.sqrt(
        16
    )  # torch's own rule for the rest
    encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16))
    assert_twins(model.encoder, encoder, drawn(2, 20))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda tensors: tensors.pop("backbone.encoder.2.bias"), "checkpoint-tensor"),
        (lambda tensors: tensors.update({"backbone.encoder.2.bias": torch.zeros(15)}), "checkpoint-shape"),
        (lambda tensors: tensors.clear(), "checkpoint-tensor"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Tensor]], object], code: str, pretrained: dict[str, Tensor], tmp_path: Path
) -> None:
    change(pretrained)
    save_file({**pretrained, **OTHER}, tmp_path / "pretrained.safetensors")
    artifact = compiled("08_init_pretrained")
    with pytest.raises(compiler.SpecError) as caught:
        runtime.build(artifact, device="cpu", folder=tmp_path)
    found = caught.value.diagnostics[0]
    assert (found.code, found.span.line) == (code, 15)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        runtime.build(compiled("08_init_pretrained"), device="cpu", folder=tmp_path)
    found = caught.value.diagnostics[0]
    assert (found.code, found.span.line) == ("checkpoint-missing", 15)


@pytest.mark.parametrize(
    "name", ["08_init_by_type", "08_init_constants", "08_init_by_layer", "08_init_custom"]
)
def test_rules_change_values_and_nothing_else(name: str) -> None:
    layers: dict[str, list[nn.Module]] = {
        "08_init_by_type": [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128)],
        "08_init_constants": [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)],
        "08_init_by_layer": [
            nn.Linear(64, 256),
            nn.Tanh(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 1),
        ],
        "08_init_custom": [nn.Linear(64, 256), nn.Linear(256, 256)],
    }
    model = built(name)
    titles = [title for title, _ in model.named_children()]
    twin = nn.Sequential()
    for title, layer in zip(titles, layers[name], strict=True):
        twin.add_module(title, layer)
    assert_twins(model, twin, drawn(2, layers[name][0].in_features))
