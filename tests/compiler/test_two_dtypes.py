"""Tensors of two dtypes in one operation: torch promotes them, or the compiler refuses what torch refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.infer.one_dtype import OF_FLOATS, PRODUCTS

SIZES = {"x": (4, 6), "y": (4, 6), "s": (6, 6), "v": (6,), "b": (2, 4, 6), "c": (2, 6, 3), "i": (2, 3, 8, 8)}
CALLS = {
    "@": "x @ s",
    "matmul": "matmul(x, s)",
    "mm": "mm(x, s)",
    "bmm": "bmm(b, c)",
    "mv": "mv(x, v)",
    "dot": "dot(v, s[0])",
    "vdot": "vdot(v, s[0])",
    "inner": "inner(x, v)",
    "linear": "linear(x, s)",
    "bilinear": "bilinear(x, y, s.expand(5, 6, 6))",
    "addmm": "addmm(y, x, s)",
    "addmv": "addmv(x[:, 0], x, v)",
    "addr": "addr(x, y[:, 0], v)",
    "addbmm": "addbmm(b[0, :, :3], b, c)",
    "baddbmm": "baddbmm(b[:, :, :3], b, c)",
    "einsum": "einsum('ij,jk->ik', x, s)",
    "tensordot": "tensordot(x, s, 1)",
    "linalg.multi_dot": "linalg.multi_dot([x, s])",
    "linalg.vecdot": "linalg.vecdot(x, y)",
    "scaled_dot_product_attention": "scaled_dot_product_attention(b, b, b * c.sum())",
    "conv1d": "conv1d(b, c.transpose(1, 2)[:, :1].expand(2, 4, 6)[:, :, :3])",
    "conv2d": "conv2d(i, s.reshape(4, 3, 3, 1))",
    "conv_transpose2d": "conv_transpose2d(i, s.reshape(3, 4, 3, 1))",
    "binary_cross_entropy": "binary_cross_entropy(x, y)",
    "huber_loss": "huber_loss(x, y)",
    "soft_margin_loss": "soft_margin_loss(x, y)",
    "cdist": "cdist(x, y)",
    "complex": "complex(x, y)",
    "polar": "polar(x, y)",
    "heaviside": "heaviside(x, y)",
    "cross": "cross(x[:, :3], y[:, :3], dim=1)",
    "linalg.cross": "linalg.cross(x[:, :3], y[:, :3])",
    "layer_norm": "layer_norm(x, [6], v)",
    "group_norm": "group_norm(x, 2, v)",
    "grid_sample": "grid_sample(i, s[:, :2].reshape(1, 3, 2, 2).expand(2, 3, 2, 2), align_corners=False)",
    "cross_entropy": "cross_entropy(x, classes, weight=v)",
    "nll_loss": "nll_loss(x, classes, weight=v)",
    "index_add": "index_add(x, 0, at, y)",
    "index_copy": "index_copy(x, 0, at, y)",
    "index_reduce": "index_reduce(x, 0, at, y, 'amax')",
    "index_put": "x.index_put([at], y)",
    "svd_lowrank": "svd_lowrank(x, q=2, M=y)[0]",
}
"""Of operations that take one dtype."""
DIFFERENT = {"addr", "huber_loss", "soft_margin_loss", "layer_norm", "group_norm"}
"""What torch computes on some devices alone, or not in the dtype that it says on the meta device."""
PROMOTED = (
    "x + y",
    "x * y - v",
    "maximum(x, y)",
    "where(x > 0, x, y)",
    "cat([x, y], dim=1)",
    "stack([x, y])",
    "mse_loss(x, y)",
    "cosine_similarity(x, y)",
    "cross_entropy(x, softmax(y, dim=1))",
    "cross_entropy(x, softmax(y, dim=1), weight=v)",
    "scaled_dot_product_attention(b, b, b, attn_mask=(b @ b.transpose(1, 2)) > 0)",
    "x ** y",
)
"""What torch promotes."""
CASES = [
    pytest.param(call, other, dtype, id=f"{name}-{other}-{dtype}")
    for name, call in [*CALLS.items(), *zip(PROMOTED, PROMOTED, strict=True)]
    for other in SIZES
    if re.search(rf"\b{other}\b", call)
    for dtype in ("bfloat16", "float64")
]


def compiled(call: str, other: str = "", dtype: str = "float32") -> Artifact:
    """Compile a program over inputs of which one is of another dtype."""
    kinds = {name: dtype if name == other else "float32" for name in SIZES}
    inputs = ", ".join(f"{name}: '{kinds[name]}{list(size)}'" for name, size in SIZES.items())
    return compiler.compile_text(f"""
spec: 1
inputs: {{{inputs}}}
model:
  forward: |
    classes = (x.sum(dim=1) * 0).long()
    at = arange(4) % 3
    return {call}
""")


def by_torch(call: str, other: str, dtype: str) -> Any:
    """Return what torch makes of the same operation, run over values of these dtypes."""
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.rand(size, generator=generator) for name, size in SIZES.items()}
    values[other] = values[other].to(getattr(torch, dtype))
    return runtime.build(compiled(call))(**values)


@pytest.mark.parametrize(("call", "other", "dtype"), CASES)
def test_the_compiler_judges_as_torch_does(call: str, other: str, dtype: str) -> None:
    try:
        expected = by_torch(call, other, dtype).dtype
    except RuntimeError:
        expected = None
    try:
        found = compiled(call, other, dtype).inferred.output.dtype
    except SpecError as error:
        (problem,) = error.diagnostics
        assert problem.code == "dtype-mismatch" or (problem.span and problem.span.text == call)
        found = None
    assert found == (None if call.partition("(")[0] in DIFFERENT else expected)


def test_what_is_checked_is_tested() -> None:
    others = {
        *(
            "conv3d",
            "conv_transpose1d",
            "conv_transpose3d",
            "embedding_bag",
            "linalg.pinv",
            "linear_cross_entropy",
        ),
        *("multi_head_attention_forward", "multi_margin_loss", "normal", "pca_lowrank", "put"),
    }
    assert {*CALLS} == (PRODUCTS | OF_FLOATS) - others


def test_a_refusal_names_the_tensors_and_a_way_out() -> None:
    with pytest.raises(SpecError) as caught:
        compiled("cross_entropy(x, classes, weight=v)", "v", "bfloat16")
    (problem,) = caught.value.diagnostics
    assert problem.code == "dtype-mismatch"
    assert problem.label == "x: float32[4, 6]   v: bfloat16[6]"
    assert problem.help == "convert one of them: `x.to(float32)`"


PLUGIN = """
import torch
from torch import nn
from compiler.plugins import layer

@layer
class Halves(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, in_features))

    def forward(self, x):
        return nn.functional.linear(x, self.weight)
"""


def test_what_a_plugin_computes_is_judged_too(tmp_path: Path) -> None:
    (tmp_path / "halves.py").write_text(PLUGIN)

    def output(dtype: str) -> torch.dtype:
        text = f"spec: 1\ninputs: {{x: '{dtype}[4, 5]'}}\nmodel: [Halves]\n"
        return compiler.compile_text(text, plugins=[str(tmp_path / "halves.py")]).inferred.output.dtype

    assert output("float32") == torch.float32
    with pytest.raises(SpecError) as caught:
        output("bfloat16")
    (problem,) = caught.value.diagnostics
    assert f"{problem.code}: {problem.message}" == (
        "dtype-mismatch: `linear` needs one dtype, and gets bfloat16 and float32"
    )
    assert problem.notes == ("inside `Halves`",)
    assert problem.label == "argument 1: bfloat16[4, 5]   argument 2: float32[3, 5]"
