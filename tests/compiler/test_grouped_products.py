"""Experts over tokens that are sorted by expert: `grouped_mm`, in the dtypes in which torch multiplies groups."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import compiler
import runtime
from tests.emitted_file import run_file

SPEC = """
spec: 1
name: experts
vars: {n_experts: 4, dim: 16}
inputs: {x: "DTYPE[tokens, dim]", chosen: "int64[tokens]"}
model:
  parameters:
    up: {tensor: "DTYPE[n_experts, dim, 2 * dim]", init: "normal(std=0.1)"}
    down: {tensor: "DTYPE[n_experts, dim, 2 * dim]", init: "normal(std=0.1)"}
  forward: |
    order = argsort(chosen, stable=True)
    offs = histc(chosen.float(), bins=n_experts, min=0, max=n_experts - 1).cumsum(0).to(int32)
    y = silu(grouped_mm(x[order], up, offs=offs))
    y = grouped_mm(y, down.transpose(1, 2), offs=offs)
    return index_put(zeros_like(y), [order], y)
"""


def by_hand(x: torch.Tensor, chosen: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    rows = [F.silu(row @ up[e]) @ down[e].T for row, e in zip(x, chosen.tolist(), strict=True)]
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_tokens_of_each_expert_go_through_it(dtype: str) -> None:
    artifact = compiler.compile_text(SPEC.replace("DTYPE", dtype))
    built = runtime.build(artifact, device="cpu")
    alone = run_file(artifact.source, "Experts")
    alone.load_state_dict(built.state_dict())
    x, chosen = torch.randn(9, 16).to(getattr(torch, dtype)), torch.randint(0, 4, (9,))
    up, down = (built.get_parameter(name) for name in ("up", "down"))
    wanted = by_hand(x, chosen, up, down)
    gradients = torch.autograd.grad(wanted.float().square().sum(), [up, down])
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 5e-2, "atol": 2e-2}
    for model in (built, alone):
        model.zero_grad()
        result = model(x, chosen)
        assert result.dtype == wanted.dtype
        torch.testing.assert_close(result, wanted, **close)
        result.float().square().sum().backward()
        for name, gradient in zip(("up", "down"), gradients, strict=True):
            torch.testing.assert_close(model.get_parameter(name).grad, gradient, **close)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [("float64", "expected inputs of BF16 type"), ("float32", "contraction dimension")],
)
def test_what_torch_does_not_multiply_is_refused(dtype: str, message: str) -> None:
    spec = SPEC.replace("DTYPE", dtype)
    spec = spec if dtype == "float64" else spec.replace("down.transpose(1, 2)", "down")
    with pytest.raises(compiler.SpecError, match=message):
        compiler.compile_text(spec)
