"""A tensor may be as large as it likes where it is taken apart into a few; into very many it is not."""

from __future__ import annotations

import pytest

import compiler

SPEC = """
spec: 1
inputs: {{x: "float32[2, 200000]"}}
model:
  forward: |
    return {program}
"""


@pytest.mark.parametrize(
    "parts",
    [
        "x.chunk(2, dim=-1)",
        "x.chunk(chunks=2, dim=-1)",
        "chunk(x, 2, 1)",
        "x.split([150000, 50000], dim=1)",
        "split(x, 100000, dim=1)",
        "x.tensor_split([5], dim=1)",
        "x.hsplit(2)",
    ],
)
def test_few_parts_of_a_large_tensor(parts: str) -> None:
    assert compiler.compile_text(SPEC.format(program=f"{parts}[1]"))


@pytest.mark.parametrize(
    "parts",
    [
        "x.T.unbind()",
        "unbind(x, 1)",
        "x.split(1, dim=1)",
        "x.split(dim=1, split_size=1)",
        "x.chunk(200000, dim=1)",
    ],
)
def test_many_parts(parts: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC.format(program=f"{parts}[1]"))
    [found] = caught.value.diagnostics
    assert found.code == "too-many-values"
    assert "200,000 tensors" in found.message
