"""Systems 3 and 4: constants, a layer used twice and a loop over data; blocks inside blocks."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from twins import assert_twins, built, drawn, redraw


class FixedHiddenMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("c", torch.rand(20, 20))
        self.linear = nn.Linear(20, 20)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        x = torch.relu(x @ self.c + 1)
        x = self.linear(x)
        while x.abs().sum() > 1:
            x = x / 2
        return x.sum()


class Untied(FixedHiddenMLP):
    """The same, but that the second use has a layer of its own."""

    def __init__(self, tied: FixedHiddenMLP) -> None:
        super().__init__()
        self.load_state_dict(tied.state_dict())
        self.second = nn.Linear(20, 20)
        self.second.load_state_dict(tied.linear.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.linear(x) @ self.c + 1)
        x = self.second(x)
        while x.abs().sum() > 1:
            x = x / 2
        return x.sum()


class NestMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.linear = nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.net(x))


class Divisions(TorchDispatchMode):
    """Counts the divisions that are really computed."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func is torch.ops.aten.div.Tensor
        return func(*args, **(kwargs or {}))


def fixed_hidden() -> nn.Module:
    return built("03_fixed_hidden_mlp")


def test_fixed_hidden_mlp_is_the_module_written_by_hand() -> None:
    assert_twins(fixed_hidden(), nn.Sequential(FixedHiddenMLP()), drawn(2, 20))


def test_the_constant_is_a_buffer() -> None:
    model = fixed_hidden()
    assert "0.c" in model.state_dict()
    assert "0.c" not in dict(model.named_parameters())
    assert not model.get_buffer("0.c").requires_grad


def test_the_constant_is_random_between_0_and_1() -> None:
    c = fixed_hidden().get_buffer("0.c")
    assert 0 <= c.min() < 0.05
    assert 0.95 < c.max() < 1
    assert abs(c.mean() - 0.5) < 0.06  # 4 standard errors of the mean of 400 values
    other = built("03_fixed_hidden_mlp", seed=1).get_buffer("0.c")
    assert not torch.equal(c, other)


def test_the_constant_is_never_trained() -> None:
    model = fixed_hidden()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(3):
        optimizer.zero_grad()
        model(drawn(2, 20, seed=step)).backward()
        optimizer.step()
    after = model.state_dict()
    assert torch.equal(after["0.c"], before["0.c"])
    assert not torch.equal(after["0.linear.weight"], before["0.linear.weight"])


def test_the_constant_moves_with_the_model() -> None:
    c = fixed_hidden().to(torch.float64).get_buffer("0.c")
    assert c.dtype == torch.float64
    assert fixed_hidden().to("meta").get_buffer("0.c").is_meta  # the one other device that is always there


def test_gradients_of_both_uses_sum() -> None:
    model = fixed_hidden().double()
    twin = FixedHiddenMLP().double()
    twin.load_state_dict(model[0].state_dict())
    untied = Untied(twin).double()
    x = drawn(2, 20).double()
    model(x).backward()
    untied(x).backward()
    for name in ("weight", "bias"):
        first, second = untied.linear.get_parameter(name).grad, untied.second.get_parameter(name).grad
        assert first is not None
        assert second is not None
        assert first.abs().max() > 0
        assert second.abs().max() > 0
        found = model.get_parameter(f"0.linear.{name}").grad
        torch.testing.assert_close(found, first + second, rtol=1e-12, atol=1e-15)


def test_the_loop_runs_as_often_as_the_data_say() -> None:
    model, twin = fixed_hidden(), nn.Sequential(FixedHiddenMLP())
    redraw(model)
    twin.load_state_dict(model.state_dict())
    counts = []
    for scale in (0.01, 1.0, 100.0, 10000.0):
        x = drawn(2, 20) * scale
        layer, c = model.get_submodule("0.linear"), model.get_buffer("0.c")
        size = layer(torch.relu(layer(x) @ c + 1)).abs().sum().item()
        wanted = 0
        while size > 1:
            size, wanted = size / 2, wanted + 1
        with torch.no_grad(), Divisions() as divisions:
            model(x)
        assert divisions.count == wanted
        counts.append(wanted)
    assert len(set(counts)) == len(counts)


def test_the_loop_may_not_run_at_all() -> None:
    model = fixed_hidden()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        with Divisions() as divisions:
            assert model(drawn(2, 20)) == 0
    assert divisions.count == 0


def test_nested_is_the_module_written_by_hand() -> None:
    assert_twins(built("04_nested"), nn.Sequential(NestMLP()), drawn(2, 20))


@pytest.mark.parametrize("batch", [1, 5])
def test_chimera_is_the_chain_written_by_hand(batch: int) -> None:
    twin = nn.Sequential(NestMLP(), nn.Linear(16, 20), FixedHiddenMLP())
    assert_twins(built("04_chimera"), twin, drawn(batch, 20))
