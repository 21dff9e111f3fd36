"""On what a spec and its module are compared: as small as the module takes, and nothing is left out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from runtime.importing.comparing import DiffersError, Pair, compared
from runtime.importing.imported import from_module
from runtime.importing.inputs import Input
from runtime.importing.trials import Trial


class Pixels(nn.Module):
    """Takes pictures of any size, and notes those that it ran on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.seen: list[tuple[list[int], bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((list(x.shape), self.training))
        return self.conv(x).mean((2, 3))

    def __deepcopy__(self, memo: object) -> Pixels:
        made = Pixels()
        made.load_state_dict(self.state_dict())
        made.seen = self.seen
        return made


class Detached(Pixels):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach() + 0 * self.conv.weight.sum()


class OnlyLarge(Pixels):
    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        return made if x.shape[2] < 65 else made + 1


class Even(nn.Module):
    """Takes even lengths, and counts its calls: one that fails counts, too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls: Tensor = self.calls + 1
        return x.unflatten(1, (-1, 2)).sum(2) * self.calls


class Gated(nn.Module):
    def __init__(self, power: int = 2) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(4))
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate * x**self.power


def pictures(size: int) -> Trial:
    return Trial([Input("x", torch.float32, ("batch", 3, size, "width"))], {"batch": 2, "width": size})


def test_all_but_one_run_is_on_small_pictures_and_at_two_sizes_of_each_open_dimension() -> None:
    module = Pixels()
    compared(module, lambda: copy.deepcopy(module), pictures(96), ["x"])
    once = [([2, 3, 96, 96], False)]
    for training in (False, True):
        once += [([batch, 3, 64, width], training) for batch, width in ((2, 64), (3, 64), (2, 65))]
    assert module.seen == [each for each in once for _ in range(2)]  # the module, and the model


def test_what_differs_on_large_pictures_alone_differs() -> None:
    module, other = Pixels(), OnlyLarge()
    other.load_state_dict(module.state_dict())
    with pytest.raises(DiffersError, match=r"outputs lie .* apart \(x \[2, 3, 96, 96\]\)"):
        compared(module, lambda: other, pictures(96), ["x"])


def test_gradients_that_differ_are_found() -> None:
    module, other = Pixels(), Detached()
    other.load_state_dict(module.state_dict())
    with pytest.raises(DiffersError, match=r"the gradient of `conv.\w+` differs"):
        compared(module, lambda: other, pictures(64), ["x"])


def test_a_module_that_takes_no_small_pictures_is_compared_on_those_it_takes() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 96), nn.Flatten(), nn.Linear(2, 3))
    proof = from_module(module, ["float32[batch, 3, 96, 96]"]).report.proof
    assert proof is not None
    assert (proof.holds, proof.sizes) == (True, 2)


def test_a_size_that_the_module_does_not_take_leaves_no_trace() -> None:
    trial = Trial([Input("x", torch.float32, ("batch", "time"))], {"batch": 2, "time": 6})
    pair = compared(Even(), Even, trial, ["x"])
    assert isinstance(pair, Pair)
    assert pair.theirs.calls == 6


def test_what_zeros_multiply_is_compared() -> None:
    trial = Trial([Input("x", torch.float32, ("batch", 4))], {"batch": 2})
    assert compared(Gated(), Gated, trial, ["x"]).furthest == 0
    with pytest.raises(DiffersError, match="outputs lie"):
        compared(Gated(), lambda: Gated(3), trial, ["x"])
