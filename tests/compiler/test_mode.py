"""Operations that drop follow the mode of the module, in programs and in layer positions."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact, SpecError

OPERATIONS = [
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
    "rrelu",
]
SIZES = {"dropout1d": "8, 6", "dropout2d": "8, 4, 4", "dropout3d": "8, 4, 4, 4"}


def spec(model: str, sizes: str = "8, 6", more: str = "") -> Artifact:
    lines = "\n".join(f"  {line}" for line in model.strip().splitlines())
    return compiler.compile_text(
        f'spec: 1\ninputs: {{x: "float32[batch, {sizes}]"}}\n{more}\nmodel:\n{lines}\n'
    )


def program(expression: str, more: str = "") -> Artifact:
    return spec(f"forward: return {expression}", more=more)


def outputs(artifact: Artifact, sizes: str = "8, 6") -> tuple[Tensor, Tensor, Tensor]:
    """Return an input, and what a model makes of it in training and in evaluation."""
    model = runtime.build(artifact, seed=0)
    x = torch.ones(4, *map(int, sizes.split(","))).neg()
    torch.manual_seed(0)
    return x, model.train()(x), model.eval()(x)


@pytest.mark.parametrize("form", ["- {name}", "forward: return {name}(x)", "layers: {{d: {name}}}"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_drops_does_so_in_training_alone(name: str, form: str) -> None:
    sizes = SIZES.get(name, "8, 6")
    x, training, evaluating = outputs(spec(form.format(name=name), sizes), sizes)
    assert not torch.equal(training, evaluating)
    expected = nn.RReLU().eval()(x) if name == "rrelu" else x
    assert torch.equal(evaluating, expected)


@pytest.mark.parametrize("given", ["training=True", "0.5, True", "p=0.5, training=x.ndim > 1"])
def test_a_mode_that_is_given_stays(given: str) -> None:
    artifact = program(f"dropout(x, {given})")
    assert "self.training" not in artifact.source
    x, training, evaluating = outputs(artifact)
    assert not torch.equal(training, x)
    assert not torch.equal(evaluating, x)


def test_layers_of_one_operation_with_a_mode_and_without_one() -> None:
    artifact = spec("- dropout(0.5)\n- dropout(0.5, False)\n- dropout(training=False)\n- dropout(p=0.25)")
    x, training, evaluating = outputs(artifact)
    assert not torch.equal(training, x)
    assert torch.equal(evaluating, x)
    assert artifact.source.count("training=self.training") == 1


ATTENTION = "scaled_dot_product_attention(x, x, x, {})"


@pytest.mark.parametrize(
    "given", ["dropout_p=0.5", "None, 0.5", "None, rate", "dropout_p=0.5 if training else 0.0"]
)
def test_the_rate_of_an_attention_counts_in_training_alone(given: str) -> None:
    x, training, evaluating = outputs(program(ATTENTION.format(given), "vars: {rate: 0.5}"))
    expected = nn.functional.scaled_dot_product_attention(x, x, x)
    assert torch.equal(evaluating, expected)
    assert not torch.equal(training, expected)


@pytest.mark.parametrize("given", ["dropout_p=0.0", "None, 0", "dropout_p=0.5 if training else 0.0"])
def test_a_rate_that_says_enough_is_emitted_as_it_is(given: str) -> None:
    source = program(ATTENTION.format(given)).source
    assert ATTENTION.format(given.replace("training", "self.training")) in source


MULTI_HEAD = (
    "multi_head_attention_forward(x, x, x, 6, 2, ones([18, 6]), zeros([18]), None, None, False, 0.5, "
    "ones([6, 6]), zeros([6]){})[0]"
)


@pytest.mark.parametrize(("more", "drops"), [("", False), (", True", True), (", training=True", True)])
def test_attention_of_many_heads_follows_the_mode(more: str, drops: bool) -> None:
    _, training, evaluating = outputs(program(MULTI_HEAD.format(more)))
    whole = outputs(program(MULTI_HEAD.format(", False")))[1]
    assert not torch.equal(training, whole)
    assert torch.equal(evaluating, whole) != drops


def test_a_layer_of_that_name_is_no_operation() -> None:
    model = "layers:\n  dropout: Linear(6)\nforward: return dropout(x)"
    assert "x = self.dropout(x)" in spec(model).source


@pytest.mark.parametrize(
    "name", ["dropout", "alpha_dropout"]
)  # to torch's default these are training, and not
def test_both_modes_are_inferred(name: str) -> None:
    """What drops cannot work on whole numbers, which evaluation alone would not show."""
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(f'spec: 1\ninputs: {{x: "int64[batch]"}}\nmodel: [{name}]\n')
    assert [each.code for each in caught.value.diagnostics] == ["operation-failed"]


def codes(caught: pytest.ExceptionInfo[SpecError]) -> Sequence[tuple[str, str]]:
    return [(each.code, each.span.text if each.span else "") for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ones([2]) if training else zeros([2])", ("unknown-name", "training")),
        ("dropout(ones([2]))", ("unknown-mode", "dropout(ones([2]))")),
    ],
)
def test_a_buffer_is_made_in_no_mode(value: str, expected: tuple[str, str]) -> None:
    with pytest.raises(SpecError) as caught:
        spec(f"buffers: {{b: {{value: '{value}'}}}}\nforward: return x.sum() + b")
    assert codes(caught) == [expected]


def test_a_value_named_as_the_mode_hides_it() -> None:
    with pytest.raises(SpecError) as caught:
        program("dropout(x)", "vars: {training: true}")
    assert codes(caught) == [("unknown-mode", "dropout(x)")]
    source = program("x if training else dropout(x, training=training)", "vars: {training: false}").source
    assert not re.search(r"self\.training\b", source)
