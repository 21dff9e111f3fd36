"""Properties of gradients: that they arrive, that they are right, and that they sum."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError
from torch.func import functional_call

from compiler.infer.values import tensors_in
from runtime.testing.case import MODES, Case, call, fixed_random
from runtime.testing.comparison import difference
from runtime.testing.outcome import Failure, Skip


def reach(case: Case) -> None:
    """In both modes every parameter, and every input of real numbers, gets a gradient."""
    for mode in MODES:
        layer, values = case.make().train(mode), followed_inputs(case.values())
        followed = _wanted(layer, values)
        if not followed:
            raise Skip("it has nothing that could get a gradient")
        loss = loss_of(call(layer, values))
        if not loss.requires_grad:
            raise Failure(
                f"no gradient reaches {_listed(followed)}", "the output is cut off from all of them"
            )
        for name, found in zip(followed, gradients_of(loss, followed), strict=True):
            if found is None:
                raise Failure(
                    f"no gradient reaches `{name}`", "the output does not depend on it, or is cut off"
                )


def gradcheck(case: Case) -> None:
    """In float64, evaluating, the gradients are those that finite differences give."""
    layer, values = case.make().double(), followed_inputs(case.values(wide=True))
    followed = _wanted(layer, values)
    if not followed:
        raise Skip("it has nothing that could get a gradient")

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(followed, tensors, strict=True))
        state = {name: given.get(name, each) for name, each in layer.named_parameters()}
        arguments = {name: given.get(name, each).clone() for name, each in values.items()}
        with fixed_random(0):
            output = functional_call(layer, state, (), arguments)
        return tuple(t for t in tensors_in(output) if t.requires_grad)

    try:
        torch.autograd.gradcheck(function, tuple(followed.values()), nondet_tol=1e-9, fast_mode=True)
    except GradcheckError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        found = " ".join(lines).partition(" The above quantities")[0]
        raise Failure(f"analytic and numerical gradients differ: {found[:400]}") from None


def shared(case: Case) -> None:
    """Used twice, a layer gets the sum of the gradients that two layers with its values get."""
    layer, first, second = case.make(), case.values(), case.values(more=1)
    apart = [copy.deepcopy(layer), copy.deepcopy(layer)]
    if not any(each.requires_grad for each in layer.parameters()):
        raise Skip("it has no parameters")
    together = loss_of(call(layer, first, seed=1)) + loss_of(call(layer, second, seed=2))
    ours = _gradients_by_name(layer, together)
    theirs = [
        _gradients_by_name(each, loss_of(call(each, values, seed)))
        for each, values, seed in zip(apart, (first, second), (1, 2), strict=True)
    ]
    for name, gradient in ours.items():
        found = difference(gradient, theirs[0][name] + theirs[1][name])
        if found is not None:
            raise Failure(
                f"the gradient of `{name}` is {found}, for two uses of one layer, and summed for two layers",
                "something is kept from one call to the next",
            )


def followed_inputs(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs, those of real or complex numbers with their gradient followed."""
    real = {name: each.is_floating_point() or each.is_complex() for name, each in values.items()}
    return {name: each.requires_grad_() if real[name] else each for name, each in values.items()}


def _wanted(layer: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters and inputs that are to get a gradient."""
    tensors = {**dict(layer.named_parameters()), **values}
    return {name: each for name, each in tensors.items() if each.requires_grad and each.numel()}


def loss_of(output: Any) -> Tensor:
    """Return a number that depends on every element of an output, on each in its own way."""
    total = torch.zeros(())
    for tensor in tensors_in(output):
        if tensor.is_floating_point() or tensor.is_complex():
            generator = torch.Generator().manual_seed(tensor.numel())
            weights = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
            real = torch.view_as_real(tensor).sum(dim=-1) if tensor.is_complex() else tensor
            total = total + (real * weights.to(real.dtype)).sum()
    return total


def gradients_of(loss: Tensor, followed: Mapping[str, Tensor]) -> tuple[Tensor | None, ...]:
    """Return the gradient of each, None where none arrives."""
    return torch.autograd.grad(loss, list(followed.values()), allow_unused=True)


def _gradients_by_name(layer: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradients of a layer's parameters, zero where there is none."""
    parameters = {name: each for name, each in layer.named_parameters() if each.requires_grad}
    found = gradients_of(loss, parameters) if loss.requires_grad else [None] * len(parameters)
    return {
        name: torch.zeros_like(each) if gradient is None else gradient.to_dense()
        for (name, each), gradient in zip(parameters.items(), found, strict=True)
    }


def _listed(names: Mapping[str, Tensor]) -> str:
    return ", ".join(f"`{name}`" for name in names)
