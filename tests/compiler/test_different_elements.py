"""`unique` gives as many elements as data decide: a size like that of what a mask chooses."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import compiler
import runtime
from tests.emitted_file import run_file

HEAD = 'spec: 1\nname: model\ninputs: {x: "float32[batch, 4]", ids: "int64[batch]"}\nmodel:\n'
SPEC = (
    HEAD
    + """
  layers: {fc: Linear(4)}
  forward: |
    names, places, counts = unique(ids, return_inverse=True, return_counts=True)
    sums = zeros(names.shape[0], 4).index_add(0, places, fc(x))
    runs = unique_consecutive(ids)
    return (sums / counts[:, None])[places] + ids.unique().sum() + runs.shape[0]
"""
)


def test_the_mean_of_each_group() -> None:
    artifact = compiler.compile_text(SPEC)
    built = runtime.build(artifact, device="cpu")
    alone = run_file(artifact.source, "Model")
    alone.load_state_dict(built.state_dict())
    for ids in ([3, 3, 1, 3, 7], [2], [1, 2, 3]):
        chosen, x = torch.tensor(ids), torch.randn(len(ids), 4)
        y = built.get_submodule("fc")(x)
        means = torch.stack([y[chosen == each].mean(0) for each in ids])
        runs = 1 + sum(one != other for one, other in pairwise(ids))
        for model in (built, alone):
            torch.testing.assert_close(model(x, chosen), means + sum(set(ids)) + runs)
            assert model(x, chosen).sum().backward() is None


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("fc(unique(x))", "shape-mismatch"),
        ("unique(ids) + unique_consecutive(ids)", "shape-mismatch"),
        ("nonzero(ids)[:, 0] + unique(ids)", "shape-mismatch"),
        ("unique(x, dim=0)", "operation-failed"),
    ],
)
def test_where_a_known_size_is_needed_it_is_refused(form: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(
            f"{HEAD}  layers: {{fc: Linear(4)}}\n  forward: |\n    y = fc(x)\n    return {form}\n"
        )
    assert [each.code for each in caught.value.diagnostics] == [code]
