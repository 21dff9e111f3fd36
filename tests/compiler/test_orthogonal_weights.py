"""Weights that rules keep orthogonal, beside modules that are parametrised by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

import compiler
import runtime
from compiler import Artifact, SpecError
from runtime.summary import summarise
from tests.emitted_file import run_file

SPEC = """
spec: 1
vars: {map: "'cayley'"}
inputs: {x: "float32[batch, 4]"}
model: [Linear(4), Linear(6), Linear(2), Linear(4)]
parametrize:
  - "0": orthogonal
  - "1": orthogonal(map)
  - "2": orthogonal(use_trivialization=False)
  - {if: "3 > 2", then: [{"3": "orthogonal('matrix_exp', use_trivialization=False)"}]}
"""
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def by_hand() -> nn.Module:
    layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(2, 4))
    orthogonal(layers[0])
    orthogonal(layers[1], orthogonal_map="cayley")
    orthogonal(layers[2], use_trivialization=False)
    orthogonal(layers[3], orthogonal_map="matrix_exp", use_trivialization=False)
    return layers


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compiler.compile_text(SPEC)


def off(weight: Tensor) -> float:
    square = weight.mT @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.mT
    return (square - torch.eye(len(square))).abs().max().item()


def assert_learns_alike(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (ours, theirs)]
    for _ in range(3):
        losses = [model(X).square().mean() for model in (ours, theirs)]
        torch.testing.assert_close(*losses)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=1e-4, atol=1e-5)
    assert max(off(layer.weight) for layer in ours.children()) < 1e-4


def test_a_model_is_equal_to_one_by_hand(artifact: Artifact) -> None:
    model, theirs = runtime.build(artifact), by_hand()
    kinds = {name: "parameter" for name, _ in theirs.named_parameters()}
    assert [(row.name, row.kind, row.shape, row.dtype) for row in artifact.plan.rows] == [
        (name, kinds.get(name, "buffer"), tuple(each.shape), each.dtype)
        for name, each in theirs.state_dict().items()
    ]
    assert list(model.state_dict()) == list(theirs.state_dict())
    assert_learns_alike(model, theirs)


def test_so_is_the_emitted_file_alone(artifact: Artifact) -> None:
    assert_learns_alike(run_file(artifact.source, "Spec"), by_hand())
    assert "orthogonal(self[0])" in artifact.source.replace('self.get_submodule("0")', "self[0]")


def test_the_first_value_is_that_without_the_rule_made_orthogonal(artifact: Artifact) -> None:
    plain = runtime.build(compiler.compile_text(SPEC.partition("parametrize:")[0]))
    torch.manual_seed(1)
    theirs = orthogonal(plain[1], orthogonal_map="cayley").weight
    torch.testing.assert_close(runtime.build(artifact)[1].weight, theirs)


def test_values_follow_from_the_seed_and_are_saved(artifact: Artifact, tmp_path: Path) -> None:
    one, two = (runtime.build(artifact, seed=3) for _ in range(2))
    assert all(torch.equal(two.state_dict()[name], each) for name, each in one.state_dict().items())
    runtime.save(one, tmp_path / "model.safetensors")
    assert torch.equal(runtime.load(tmp_path / "model.safetensors")(X), one(X))


def test_it_is_summarised(artifact: Artifact) -> None:
    assert summarise(artifact).parameters == sum(each.numel() for each in by_hand().parameters())


def test_work_that_is_too_much_is_refused() -> None:
    text = (
        'spec: 1\ninputs: {x: "float32[batch, 4]"}\nmodel: [Linear(9000)]\nparametrize: [{"0": orthogonal}]\n'
    )
    artifact = compiler.compile_text(text)
    with pytest.raises(SpecError) as caught:
        runtime.build(artifact)
    assert [each.code for each in caught.value.diagnostics] == ["too-much-work"]
    place = caught.value.diagnostics[0].span
    assert place is not None
    assert place.text == "orthogonal"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("orthogonal('expm')", "argument-type"),
        ("orthogonal(2)", "argument-type"),
        ("orthogonal(use_trivialization=1)", "argument-type"),
        ("orthogonal('cayley', False)", "too-many-arguments"),
        ("orthogonal(map=None)", "unknown-argument"),
    ],
)
def test_what_it_takes(rule: str, code: str) -> None:
    text = (
        f'spec: 1\ninputs: {{x: "float32[batch, 4]"}}\nmodel: [Linear(4)]\nparametrize: [{{"0": "{rule}"}}]\n'
    )
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(text)
    assert [each.code for each in caught.value.diagnostics] == [code]


@pytest.mark.parametrize(("rule", "message"), [("Linear.bias", "Got a tensor of 1 dimensions"), ("/", None)])
def test_a_vector_is_no_matrix(rule: str, message: str | None) -> None:
    text = f'spec: 1\ninputs: {{x: "float32[batch, 4]"}}\nmodel: [Linear(4)]\nparametrize: [{{{rule}: orthogonal}}]\n'
    if message is None:
        assert off(runtime.build(compiler.compile_text(text))[0].weight) < 1e-5
        return
    with pytest.raises(SpecError, match=message):
        compiler.compile_text(text)
