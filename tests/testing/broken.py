"""Layers that are right, and below each the layers that differ from it in one thing, which is wrong.

A plugin: `python -m compiler test-layer tests/testing/broken.py:Detached` shows what is found. Which property each is
planted for says `test_planted_defects.py`.
"""

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compiler.plugins import Hints, layer

# --- one weight for each feature ---------------------------------------------------------------------------


@layer
class Scale(nn.Module):
    """Right: what most layers below are, but for one thing."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(in_features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


@layer
class Detached(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.detach()


@layer
class WithoutGradient(Scale):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            weight = self.weight * 2
        return x * weight


@layer
class Unused(Scale):
    """A parameter that nothing depends on."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.bias = nn.Parameter(torch.zeros(in_features))


@layer
class InPlace(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.weight)


@layer
class Augmented(Scale):
    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x * self.weight


@layer
class ListOfParameters(Scale):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.shifts = [nn.Parameter(torch.zeros(in_features))]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.shifts[0]


@layer
class PlainTensor(Scale):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.shift = torch.ones(in_features)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.shift


@layer
class Remembering(Scale):
    """Holds its last input, for whoever debugs it."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        return x * self.weight


@layer(hints=Hints(inputs={"x": "float[batch, in_features]"}, output="float[batch, in_features]"))
class WrongShapeInTraining(Scale):
    def forward(self, x: Tensor) -> Tensor:
        y = x * self.weight
        return y.sum(dim=-1, keepdim=True) if self.training else y


@layer(hints=Hints(inputs={"x": "float[batch, in_features]"}, output="float[batch, in_features]"))
class WrongShapeInABranch(Scale):
    """For one feature the dimension goes away."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).squeeze(-1)


@layer
class LooksAtValues(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight / max(x.abs().max().item(), 1.0)


@layer
class BranchesOnValues(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight if x.sum() > 0 else x


@layer
class Seeding(Scale):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(in_features))


@layer
class PythonsRandom(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + (random.random() if self.training else 0.0)


@layer
class NumPysRandom(Scale):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.weight = nn.Parameter(torch.from_numpy(np.random.rand(in_features)).float())


@layer
class SeededByTheClock(Scale):
    """A generator of its own, which no seed of the caller reaches."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x * self.weight
        own = torch.Generator()
        own.seed()
        return x * self.weight + torch.rand((), generator=own).item()


@layer
class Uninitialised(Scale):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.weight = nn.Parameter(torch.empty(in_features))


@layer
class Counting(Scale):
    """What it has learned stands in an attribute, which no state dict holds."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.calls = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return x * self.weight / self.calls


@layer
class Renaming(Scale):
    """By itself its key is `scale`, and inside a model too, where it should have the model's prefix."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.register_state_dict_post_hook(self._rename)

    @staticmethod
    def _rename(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
        state["scale"] = state.pop(f"{prefix}weight")

    def _load_from_state_dict(self, state: Any, prefix: str, *more: Any) -> None:
        if "scale" in state:
            state[f"{prefix}weight"] = state.pop("scale")
        super()._load_from_state_dict(state, prefix, *more)


@layer
class BoundToTheOriginal(Scale):
    """A copy holds the same function, which knows the tensors of the original."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.scale = lambda x: x * self.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(x)


@layer
class SharedByItsCopy(Scale):
    def __deepcopy__(self, memo: object) -> "SharedByItsCopy":
        return self


@layer
class CountsWhenEvaluating(Scale):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self.calls.add_(1)
        return x * self.weight


@layer
class KeepsTheLastCall(Scale):
    """Its output, and so its gradient, depends on the call before."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.last: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.weight
        before = self.last[0] if self.last else torch.zeros_like(y)
        self.last = [y]
        return y + before.mean()


@layer
class FadingGradient(Scale):
    """What it gives is the same each time; the gradient is less with each call."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = x * self.weight
        return y.detach() + (y - y.detach()) / self.calls


@layer
class TrainedInSpite(Scale):
    """Keeps its weights short by changing them, also where they are frozen."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.weight.clamp_(-0.5, 0.5)
        return x * self.weight


@layer
class OtherWhenExported(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x if torch.compiler.is_exporting() else x * self.weight


@layer
class BreaksTheGraph(Scale):
    def forward(self, x: Tensor) -> Tensor:
        self.started = time.perf_counter()
        return x * self.weight


@layer
class NeedsTwoItems(Scale):
    """Statistics of one value are none."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, training=True)


# --- constants ---------------------------------------------------------------------------------------------


@layer
class Positions(nn.Module):
    """Right: a constant that is made on the device, and in the dtype, of the input."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)


@layer
class BoundToADtype(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones(x.shape[-1], device=x.device)


@layer
class BoundToFloat32(Scale):
    def forward(self, x: Tensor) -> Tensor:
        return x.float() * self.weight.float()


@layer
class BoundToTheCpu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[-1], dtype=x.dtype)


@layer
class FixedHidden(nn.Module):
    """Right: relu(x c + 1) between two uses of one linear layer, with a constant `c` that is a buffer."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("c", torch.rand(in_features, in_features))
        self.linear = nn.Linear(in_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.relu(self.linear(x) @ self.c + 1))


@layer
class FixedHiddenOfTheChapter(nn.Module):
    """Row 3 as the chapter has it: `c` is neither saved nor moved."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.c = torch.rand((in_features, in_features), requires_grad=False)
        self.linear = nn.Linear(in_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        x = F.relu(torch.mm(x, self.c) + 1)
        x = self.linear(x)
        while x.abs().sum() > 1:
            x /= 2
        return x.sum()


# --- state -------------------------------------------------------------------------------------------------


@layer
class Average(nn.Module):
    """Right: takes off the mean that it has seen while training."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_features))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.detach().flatten(0, -2).mean(dim=0).to(self.mean.dtype), 0.5)
        return x - self.mean


@layer
class Forgetting(Average):
    """Not in the state dict."""

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features)
        self.register_buffer("mean", torch.zeros(in_features), persistent=False)


@layer
class AlwaysLearning(Average):
    def forward(self, x: Tensor) -> Tensor:
        y = x - self.mean
        self.mean.lerp_(x.detach().flatten(0, -2).mean(dim=0).to(self.mean.dtype), 0.5)
        return y


# --- random numbers ----------------------------------------------------------------------------------------


@layer
class Drop(nn.Module):
    """Right: drops while training."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)


@layer
class AlwaysDropping(Drop):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p)


# --- batches -----------------------------------------------------------------------------------------------


@layer
class Centre(nn.Module):
    """Right: takes off each item's own mean."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=-1, keepdim=True)


@layer
class CentreOfAll(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean()


@layer
class CentreOfTheBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0, keepdim=True)


@layer(hints=Hints(inputs={"x": "float[batch, in_features]"}, output="float[batch, units]"))
class BilinearReduction(nn.Module):
    """Right: y_k = sum over i and j of W_kij x_i x_j, for a batch."""

    def __init__(self, in_features: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, in_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("kij,...i,...j->...k", self.weight, x, x)


@layer(hints=Hints(inputs={"x": "float[batch, in_features]"}))
class BilinearOfTheChapter(BilinearReduction):
    """Row 13 as the chapter has it: right for a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(torch.matmul(x, self.weight), x.T).reshape(x.shape[0], -1)


# --- gradients of its own ----------------------------------------------------------------------------------


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * gradient[0]


class _WrongSquare(_Square):
    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return x * gradient[0]


@layer
class Square(nn.Module):
    """Right."""

    def forward(self, x: Tensor) -> Tensor:
        return _Square.apply(x)


@layer
class SquareWithHalfTheGradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _WrongSquare.apply(x)


# --- layers in layers --------------------------------------------------------------------------------------


@layer
class Dense(nn.Module):
    """Right: relu(x W + b)."""

    def __init__(self, in_features: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, units))
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x @ self.weight + self.bias)


@layer
class DenseOfTheChapter(Dense):
    """Row 12 as the chapter has it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.matmul(x, self.weight.data) + self.bias.data)


@layer
class Repeated(nn.Module):
    """Right: copies of a linear layer, one after the other."""

    def __init__(self, in_features: int, count: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(in_features, in_features) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for each in self.layers:
            x = F.relu(each(x))
        return x


@layer
class RepeatedOfTheChapter(nn.Module):
    """Row 6 as the chapter has it: the copies are in a closure, and nobody trains them."""

    def __init__(self, in_features: int, count: int = 2) -> None:
        super().__init__()
        self.run = _chained([nn.Linear(in_features, in_features) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def _chained(layers: list[nn.Module]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        for each in layers:
            x = F.relu(each(x))
        return x

    return run


@layer
class ListOfLayers(nn.Module):
    def __init__(self, in_features: int, count: int = 2) -> None:
        super().__init__()
        self.layers = [nn.Linear(in_features, in_features) for _ in range(count)]

    def forward(self, x: Tensor) -> Tensor:
        for each in self.layers:
            x = F.relu(each(x))
        return x
