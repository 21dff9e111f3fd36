"""Branches of a block, however many there are: what they give is joined from the first to the last."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import reduce

import pytest
import torch
from torch import Tensor

import compiler
import runtime
from compiler import Artifact
from tests.zoo.parity import stand_alone

JOINED: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "add": lambda found: reduce(torch.add, found),
    "mul": lambda found: reduce(torch.mul, found),
    "cat": lambda found: torch.cat(found, 1),
}


def made(count: int, combine: str, is_named: bool = False, rest: str = "") -> Artifact:
    branches = [f"b{at}: Linear(4)" if is_named else "Linear(4)" for at in range(count)]
    written = f"{{{', '.join(branches)}}}" if is_named else f"[{', '.join(branches)}]"
    operation = combine if combine != "cat" else "cat(dim=1)"
    body = f"model: {{parallel: {written}, combine: {operation}}}\n{rest}"
    return compiler.compile_text(f'spec: 1\nname: net\ninputs: {{x: "float[batch, 4]"}}\n{body}')


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("combine", JOINED)
@pytest.mark.parametrize("count", [4, 5, 205])
def test_the_results_are_joined_one_after_the_other(count: int, combine: str, is_named: bool) -> None:
    artifact = made(count, combine, is_named)
    model, alone, x = runtime.build(artifact, seed=0), stand_alone(artifact), torch.randn(3, 4)
    alone.load_state_dict(model.state_dict())
    expected = JOINED[combine]([branch(x) for branch in model.children()])
    assert torch.equal(model(x), expected)
    assert torch.equal(alone(x), expected)


@pytest.mark.parametrize("combine", JOINED)
def test_there_may_be_a_thousand(combine: str) -> None:
    artifact = made(1000, combine)
    alone, x = stand_alone(artifact), torch.randn(3, 4)
    assert torch.equal(alone(x), JOINED[combine]([branch(x) for branch in alone.children()]))
    assert len(runtime.build(artifact, device="meta").state_dict()) == 2000


def written(artifact: Artifact) -> str:
    """Return the statements of `forward`."""
    return textwrap.dedent(artifact.source.split("-> Tensor:\n")[1])


def test_few_are_joined_in_one_expression() -> None:
    assert written(made(3, "mul")) == "return torch.mul(torch.mul(self[0](x), self[1](x)), self[2](x))\n"


def test_many_are_gone_over() -> None:
    source = written(made(5, "mul", is_named=True))
    assert source == textwrap.dedent("""\
        first, *others = self.values()
        y: Tensor = first(x)
        for branch in others:
            y = torch.mul(y, branch(x))
        return y
    """)


def test_many_on_two_devices_are_joined_by_a_statement_each() -> None:
    artifact = made(205, "add", rest='placement: [{/: "cuda:0"}, {"4": "cuda:1"}]')
    lines = written(artifact).splitlines()
    assert lines[:2] == ["y: Tensor = self[0](x)", "y = torch.add(y, self[1](x))"]
    assert lines[4] == "y = torch.add(y, self[4](x.to(self[4].weight.device)).to(self[0].weight.device))"
    assert len(lines) == 206
