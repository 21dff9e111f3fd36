"""Blocks that extend a layer: its keys are theirs, and its forward is `base`."""

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
from tests.zoo.parity import stand_alone

IMAGE = 'inputs: {x: "float[batch, 3, 6, 6]"}'
ROWS = 'inputs: {x: "float[batch, 4]"}'


def spec(inputs: str, body: str, **settings: object) -> Artifact:
    return compiler.compile_text(f"spec: 1\n{inputs}\n{textwrap.dedent(body)}", set=settings)


def assert_is(made: Artifact, twin: nn.Module, x: Tensor) -> None:
    """Compare a model, built or emitted alone, with a hand-written twin: keys, values, gradients and statistics."""
    assert [row.name for row in made.plan.rows] == list(twin.state_dict())
    for model in (stand_alone(made), runtime.build(made, device="cpu")):
        assert list(model.state_dict()) == list(twin.state_dict())
        model.load_state_dict(twin.state_dict())
        for training in (False, True):
            assert torch.equal(model.train(training)(x), twin.train(training)(x))
        model.zero_grad(), twin.zero_grad()
        model(x).square().sum().backward()
        twin(x).square().sum().backward()
        for (name, one), (_, other) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
            assert torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]
        assert all(torch.equal(v, twin.state_dict()[k]) for k, v in model.state_dict().items())
        twin.load_state_dict({k: v.clone() for k, v in model.state_dict().items()})


class NormAct(nn.BatchNorm2d):
    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-3)
        self.gain = nn.Parameter(torch.ones(dim, 1, 1))
        self.register_buffer("calls", torch.zeros(()))
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.gain * super().forward(x))  # type: ignore[no-any-return]


def test_a_normalisation_with_its_activation_has_the_keys_of_the_layer() -> None:
    made = spec(
        IMAGE,
        """
        blocks:
          NormAct:
            extends: BatchNorm2d(eps=1e-3)
            layers: {act: PReLU}
            parameters: {gain: {tensor: "float[x.shape[1], 1, 1]", init: ones}}
            buffers: {calls: {tensor: "float[]", init: zeros}}
            forward: |
              return act(gain * base(x))
        model:
          - bn: NormAct
        """,
    )
    twin = nn.Sequential()
    twin.add_module("bn", NormAct(3))
    assert next(iter(twin.state_dict())) == "bn.weight"
    assert_is(made, twin, torch.randn(2, 3, 6, 6))


def test_without_a_program_the_layer_comes_first() -> None:
    made = spec(IMAGE, "blocks: {Act: {extends: BatchNorm2d, layers: {act: Sigmoid}}}\nmodel: [Act]")

    class Act(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).sigmoid()

    assert_is(made, nn.Sequential(Act(3)), torch.randn(2, 3, 6, 6))
    assert "class Act(nn.BatchNorm2d)" in made.source


def test_a_program_may_read_the_weight_and_call_nothing() -> None:
    made = spec(
        IMAGE,
        """
        blocks:
          Standardised(width, stride=1):
            extends: Conv2d(width, 3, stride=stride, padding=1)
            forward: |
              mean = base.weight.mean(dim=[1, 2, 3], keepdim=True)
              return conv2d(x, base.weight - mean, base.bias, stride, padding=1)
        model: [Standardised(5), "Standardised(4, stride=2)"]
        """,
    )

    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            mean = self.weight.mean(dim=[1, 2, 3], keepdim=True)
            return F.conv2d(x, self.weight - mean, self.bias, self.stride, padding=1)

    twin = nn.Sequential(Standardised(3, 5, 3, padding=1), Standardised(5, 4, 3, stride=2, padding=1))
    assert_is(made, twin, torch.randn(2, 3, 6, 6))


class Positions(nn.Embedding):
    def forward(self, positions: Tensor) -> Tensor:
        return super().forward(positions + 2)


def test_an_embedding_with_an_offset() -> None:
    made = spec(
        'inputs: {x: "int64[batch, time]"}',
        """
        blocks:
          Positions(length, dim):
            extends: Embedding(length + 2, dim)
            forward(positions): return base(positions + 2)
        model:
          layers: {positions: "Positions(8, 3)"}
          forward: return positions(x)
        """,
    )
    twin = nn.Module()
    twin.positions = Positions(10, 3)
    twin.forward = lambda x: twin.positions(x)  # type: ignore[method-assign]
    assert_is(made, twin, torch.tensor([[0, 1, 7]]))


def test_linear_and_layernorm_and_an_attention_that_takes_less() -> None:
    made = spec(
        'inputs: {x: "float[batch, time, 4]"}',
        """
        blocks:
          Scaled(width): {extends: "Linear(width, bias=False)", forward: return base(x) / sqrt(width)}
          Wide: {extends: LayerNorm, forward: "return base(x.to(float32)).to(x.dtype)"}
          Own(heads):
            extends: MultiheadAttention(num_heads=heads, batch_first=True)
            forward: |
              y, _ = base(x, x, x, need_weights=False)
              return x + y
        model: [Scaled(6), Wide, Own(2)]
        """,
    )

    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 6**0.5

    class Own(nn.MultiheadAttention):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            return x + super().forward(x, x, x, need_weights=False)[0]

    twin = nn.Sequential(Scaled(4, 6, bias=False), nn.LayerNorm(6), Own(6, 2, batch_first=True))
    assert_is(made, twin, torch.randn(2, 3, 4))
    assert "# type: ignore[override]" in made.source


def test_a_layer_that_is_given_is_extended() -> None:
    body = """
        blocks:
          Act(norm): {extends: norm, layers: {act: ReLU}}
        model: [Act(BatchNorm2d(eps=0.1)), Act(InstanceNorm2d(affine=True))]
        """
    made = spec(IMAGE, body)

    class One(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    class Two(nn.InstanceNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    assert_is(made, nn.Sequential(One(3, eps=0.1), Two(3, affine=True)), torch.randn(2, 3, 6, 6))


def test_base_in_a_comprehension() -> None:
    body = """
        blocks:
          Both: {extends: Linear(2), forward: "return sum([base(part) for part in x.chunk(2, dim=1)])"}
        model: [Both]
        """
    made = spec(ROWS, body)

    class Both(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            one, two = (nn.Linear.forward(self, part) for part in x.chunk(2, dim=1))
            return 0 + one + two

    assert_is(made, nn.Sequential(Both(2, 2)), torch.randn(3, 4))


RULES = """
    blocks:
      Act:
        extends: Linear(4)
        layers: {inner: Linear(4)}
        parameters: {gain: "float[4]"}
        init: [{bias: 0.5}, {gain: normal(std=0.1)}, {inner.weight: zeros}]
        forward: return inner(base(x)) * gain
    model: [Act, Linear(4)]
    init: [{Linear.weight: ones}, {Act.inner.bias: 2.0}]
    freeze: [Linear.bias]
    placement: [{Act: {dtype: float32}}]
    """


def test_rules_select_it_by_the_type_of_the_layer_and_of_the_block() -> None:
    made = spec(ROWS, RULES)
    for model in (stand_alone(made), runtime.build(made, device="cpu")):
        block = model[0]  # type: ignore[index]
        assert torch.equal(block.weight, torch.ones(4, 4))
        assert torch.equal(block.bias, torch.full((4,), 0.5))
        assert torch.equal(block.inner.bias, torch.full((4,), 2.0))
        assert 0 < block.gain.std() < 1
        assert [name for name, each in model.named_parameters() if not each.requires_grad] == [
            "0.bias",
            "0.inner.bias",
            "1.bias",
        ]


def test_first_values_are_given_again_by_reset_parameters() -> None:
    model: Any = stand_alone(spec(ROWS, RULES))
    block = model[0]
    with torch.no_grad():
        for each in model.parameters():
            each.fill_(9.0)
    block.reset_parameters()
    assert torch.equal(block.bias, torch.full((4,), 0.5))
    assert not torch.equal(block.weight, torch.full((4, 4), 9.0))
    assert 0 < block.gain.std() < 1


def test_a_frozen_normalisation_keeps_its_statistics_and_what_is_beside_it_does_not_stop() -> None:
    made = spec(
        IMAGE,
        """
        blocks: {Act: {extends: BatchNorm2d, layers: {drop: Dropout(0.5)}}}
        model: [Act]
        freeze: ["0"]
        """,
    )
    for model in (stand_alone(made), runtime.build(made, device="cpu")):
        block: Any = model.train()[0]  # type: ignore[index]
        before = block.running_mean.clone()
        out = model(torch.randn(2, 3, 6, 6) + 3)
        assert torch.equal(block.running_mean, before)
        assert not block.training
        assert block.drop.training
        assert (out == 0).any()


def test_a_variable_of_the_spec_is_an_argument_of_the_class() -> None:
    body = """
        vars: {width: 4, eps: 1e-3}
        blocks: {Act(width): {extends: "Linear(width)", layers: {norm: "LayerNorm(eps=eps)"}}}
        model: [Act(width), Act(2 * width)]
        """
    source = spec(ROWS, body).source
    assert "def __init__(self, width: int = 4, eps: float = 0.001) -> None:" in source
    assert "super().__init__(in_features, width)" in source


def test_a_value_does_not_replace_an_attribute_of_the_layer() -> None:
    body = """
        blocks: {Shifted(bias): {extends: Linear(4), forward: return base(x) + bias}}
        model: [Shifted(3)]
        """
    made = spec(ROWS, body)
    assert isinstance(runtime.build(made, device="cpu")[0].bias, nn.Parameter)  # type: ignore[index]


REFUSED = {
    "reserved-name": "{extends: Linear(4), layers: {weight: ReLU}}",
    "not-a-layer": "{extends: relu, layers: {act: ReLU}}",
    "not-a-layer ": "{extends: Other, layers: {act: ReLU}}",
    "not-a-layer  ": "{extends: [Linear(4)]}",
    "unknown-layer": "{extends: Linaer(4)}",
    "duplicate-name": "{extends: Linear(4), layers: {base: ReLU}}",
    "hidden-layer": '{extends: Linear(4), forward: "base = x\\nreturn base"}',
    "unknown-attribute": "{extends: Linear(4), forward: return base.wait}",
    "open-size": "{extends: Linear(4), forward: return base(x.flatten(0))}",
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_refused(code: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(ROWS, f"blocks:\n  Block: {REFUSED[code]}\n  Other: [ReLU]\nmodel: [Block]\n")
    assert [each.code for each in caught.value.diagnostics] == [code.strip()]
    assert all(each.span for each in caught.value.diagnostics)
