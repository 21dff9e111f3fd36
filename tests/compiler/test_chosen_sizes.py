"""Sizes that data decide: what a mask chooses, and what may be done with so many elements."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import compiler
import runtime
from compiler import Artifact, SpecError
from runtime.summary import summarise
from tests.zoo.parity import stand_alone

HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'


def spec(body: str, head: str = HEAD) -> Artifact:
    return compiler.compile_text(head + textwrap.dedent(body))


def program(body: str, layers: str = "fc: Linear(3)") -> Artifact:
    return spec(
        f"model:\n  layers: {{{layers}}}\n  forward: |\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    )


MIXTURE = """
    vars: {dim: 8, hidden: 6, n_experts: 4, n_chosen: 2}
    blocks:
      Expert:
        layers: {up: Linear(hidden), gate: Linear(hidden), down: Linear(dim)}
        forward: return down(silu(gate(x)) * up(x))
    model:
      layers:
        gate: Linear(n_experts, bias=False)
        experts: {repeat: n_experts, of: Expert}
      forward: |
        tokens = x.flatten(0, 1)
        best, chosen = topk(softmax(gate(tokens), dim=-1), n_chosen)
        best = best / best.sum(dim=-1, keepdim=True)
        y = zeros_like(tokens)
        for e, expert in enumerate(experts):
          rows, places = where(chosen == e)
          y = index_add(y, 0, rows, expert(tokens[rows]) * best[rows, places, None])
        return y.reshape(x.shape)
    """
SEQUENCES = 'spec: 1\ninputs: {x: "float[batch, time, dim]"}\n'


def dense(model: Any, x: Tensor) -> Tensor:
    """Let every expert see every token, as the dense mixture of the zoo does."""
    tokens = x.flatten(0, 1)
    best, chosen = torch.topk(F.softmax(model.gate(tokens), dim=-1), 2)
    best = best / best.sum(dim=-1, keepdim=True)
    weights = torch.zeros(len(tokens), 4).scatter(-1, chosen, best)
    y = torch.zeros_like(tokens)
    for e, expert in enumerate(model.experts):
        y = y + expert(tokens) * weights[:, e : e + 1]
    return y.reshape(x.shape)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("sizes", [(2, 5), (1, 1), (3, 2)])
def test_experts_that_see_their_own_tokens_equal_those_that_see_all(
    sizes: tuple[int, int], alone: bool
) -> None:
    made = spec(MIXTURE, SEQUENCES)
    torch.manual_seed(0)
    model = stand_alone(made) if alone else runtime.build(made, device="cpu")
    x = torch.randn(*sizes, 8, requires_grad=True)
    for one, other in zip(values(model, model(x), x), values(model, dense(model, x), x), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def values(model: nn.Module, output: Tensor, x: Tensor) -> list[Tensor]:
    """Return an output with its gradients; a parameter that no token reached has none, which is zero."""
    given = [x, *model.parameters()]
    found = torch.autograd.grad(output.square().sum(), given, allow_unused=True)
    zeros = [torch.zeros_like(each) for each in given]
    return [output, *(zero if each is None else each for each, zero in zip(found, zeros, strict=True))]


def test_a_summary_names_them() -> None:
    shown = {}

    def note(node: Any) -> None:
        shown[node.path] = str(node.output)
        list(map(note, node.children))

    note(summarise(spec(MIXTURE, SEQUENCES)).root)
    assert shown["experts.1.up"] == "float32[u1, 6]"
    assert shown["gate"] == "float32[batch*time, 4]"


X = torch.tensor([[1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0], [-1.0, 2.0, -3.0, 4.0, -5.0, 6.0, -7.0, 8.0]])
RESULTS = {
    "x[x > 0]": X[X > 0],
    "x[x[:, 0] > 0]": X[:1],
    "x[(x > 0)[:, 0], 1:3]": X[:1, 1:3],
    "x[:, (x > 0)[0]]": X[:, ::2],
    "x[..., x[0] > 0]": X[:, ::2],
    "x[None, x > 0]": X[None, X > 0],
    "masked_select(x, x > 0)": X[X > 0],
    "x.masked_select(x > 0)": X[X > 0],
    "masked_select(x, mask=x[:1] > 0)": X[:, ::2].flatten(),
    "nonzero(x > 0)": torch.nonzero(X > 0),
    "(x > 0).nonzero()": torch.nonzero(X > 0),
    "argwhere(x > 0)": torch.argwhere(X > 0),
    "nonzero(x > 0, as_tuple=True)[1]": torch.where(X > 0)[1],
    "x[where(x > 0)]": X[X > 0],
    "index_put(x, [x > 0], zeros(()))": X.clamp(max=0),
    "stack([v * 2 for v in x[x > 0]])": 2 * X[X > 0],
    "x[x > 9].sum()": torch.zeros(()),
    "x[x > 0].reshape(2, -1)[0] if x[x > 0].shape[0] % 2 == 0 else x[0]": X[X > 0][:4],
}


@pytest.mark.parametrize("expression", RESULTS)
def test_what_a_mask_chooses(expression: str) -> None:
    made = spec(f'model: {{forward: "return {expression}"}}')
    for model in (stand_alone(made), runtime.build(made, device="cpu")):
        assert torch.equal(model(X), RESULTS[expression])


def test_one_mask_chooses_equally_many_each_time() -> None:
    made = program("kept = x[:, 0] > 0\nreturn fc(x[kept]) * (2 * x)[kept].sum(dim=1, keepdim=True)")
    model = runtime.build(made, device="cpu")
    assert model(X).shape == (1, 3)


def test_nothing_chosen_takes_the_other_way_whose_layers_are_made() -> None:
    made = program(
        """
        kept = x[x[:, 0] > 0]
        if kept.shape[0] == 0:
          return other(x)
        return fc(kept)
        """,
        "fc: Linear(3), other: Linear(3)",
    )
    assert [row.name for row in made.plan.rows] == ["fc.weight", "fc.bias", "other.weight", "other.bias"]
    model = runtime.build(made, device="cpu")
    assert model(X).shape == (1, 3)
    assert model(-X.abs()).shape == (2, 3)


def test_a_block_is_given_what_was_chosen() -> None:
    made = spec(
        """
        blocks: {Part: {layers: {fc: Linear(8)}, forward: return fc(x)}}
        model:
          layers: {parts: {repeat: 3, of: Part}}
          forward: |
            for part in parts:
              rows, = where(x[:, 0] > 0)
              x = index_add(x, 0, rows, part(x[rows]))
            return x
        """
    )
    assert runtime.build(made, device="cpu")(X).shape == X.shape


REFUSED = {
    "return fc(x[x > 0])": ("data-size", "fc(x[x > 0])"),
    "return x[x > 0].reshape(5, 1)": ("data-size", "x[x > 0].reshape(5, 1)"),
    "return x[x > 0] + x[x < 0]": ("shape-mismatch", "x[x > 0] + x[x < 0]"),
    "return cat([x[x[:, 0] > 0], x], dim=1)": ("shape-mismatch", "cat([x[x[:, 0] > 0], x], dim=1)"),
    "return x[(x > 0).T]": ("shape-mismatch", "x[(x > 0).T]"),
    "return x[x[0] > 0]": ("shape-mismatch", "x[x[0] > 0]"),
    "return masked_select(x, x[0, :3] > 0)": ("shape-mismatch", "masked_select(x, x[0, :3] > 0)"),
    "return masked_select(x, 1)": ("operation-failed", "masked_select(x, 1)"),
    "return unique(x, dim=0)": ("operation-failed", "unique(x, dim=0)"),
    "a, b = x[x > 0]\n    return a": ("unpack-count", "a, b"),
    "y = x\n    while x.sum() > 0:\n      y = y[y[:, 0] > 0]\n    return y": ("ways-disagree", "y"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_needs_a_size_that_is_known(body: str) -> None:
    with pytest.raises(SpecError) as caught:
        program(body.replace("\n    ", "\n"))
    (problem,) = caught.value.diagnostics
    assert problem.span is not None
    assert (problem.code, problem.span.text) == REFUSED[body]


def test_a_block_that_runs_again_at_the_same_sizes_is_looked_at_again() -> None:
    made = spec(
        """
        blocks:
          Pick:
            layers: {fc: Linear(8), other: Linear(8)}
            forward: |
              kept = x[x[:, 0] > 0]
              return other(x) if kept.shape[0] < 3 else fc(x)
        model: [Pick]
        """,
        HEAD.replace("batch", "4"),
    )
    assert len(made.plan.rows) == 4


def test_a_number_that_stands_for_such_a_size_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        program("return x[x > 0] + x[x < 0]")
    assert caught.value.diagnostics[0].notes == ("5 and 10 stand for sizes that data decide",)


def test_the_value_of_a_buffer_has_a_size_that_is_known() -> None:
    with pytest.raises(SpecError, match="would depend on data"):
        spec("model: {buffers: {b: {value: nonzero(eye(3))}}, forward: return x * b.sum()}")


def test_on_several_devices() -> None:
    made = spec(f"{textwrap.dedent(MIXTURE)}placement: [{{gate: cpu}}, {{experts: 'cuda:1'}}]\n", SEQUENCES)
    assert "y.device" in made.source


def test_values_move_on_the_way_where_nothing_is_chosen() -> None:
    made = spec(
        """
        model:
          layers: {fc: Linear(8), other: Linear(8)}
          forward: |
            kept = x[x[:, 0] > 0]
            if kept.shape[0] < 1:
              return other(x)
            return fc(x)
        placement: [{fc: cpu}, {other: "cuda:1"}]
        """
    )
    assert "self.other(x.to(self.other.weight.device))" in made.source
