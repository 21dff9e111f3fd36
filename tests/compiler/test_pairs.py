"""Constructs of the language together, in models that are built and in their emitted files alone."""

from __future__ import annotations

import textwrap

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact, SpecError
from tests.zoo.parity import stand_alone

ROWS = 'inputs: {x: "float32[batch, 4]"}'
IMAGE = 'inputs: {x: "float32[batch, 3, 4, 4]"}'
X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def spec(body: str, inputs: str = ROWS) -> Artifact:
    return compiler.compile_text(f"spec: 1\n{inputs}\n{textwrap.dedent(body)}")


def assert_is_alone(made: Artifact, keys: str, x: Tensor = X) -> nn.Module:
    """Compare the built model with its file alone, in keys, outputs and gradients; return the built one."""
    model, alone = runtime.build(made, device="cpu"), stand_alone(made)
    assert list(model.state_dict()) == list(alone.state_dict()) == [row.name for row in made.plan.rows]
    assert list(model.state_dict()) == keys.split()
    alone.load_state_dict(model.state_dict())
    for training in (True, False):
        ours, theirs = (each.train(training)(x) for each in (model, alone))
        assert torch.equal(ours, theirs)
        ours.square().sum().backward(), theirs.square().sum().backward()
    found, expected = ({n: p.grad for n, p in each.named_parameters()} for each in (model, alone))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    return model


# First values of another part, of layers that are parametrised.

COPY = """
model:
  layers: {a: Linear(4), b: Linear(4)}
  forward: return a(x) + b(x)
init: [b: copy('a'), a.weight: normal(std=2)]
parametrize: [PART.weight: weight_norm]
"""


@pytest.mark.parametrize("part", ["a", "b", "Linear"])
def test_a_layer_begins_as_a_parametrised_one(part: str) -> None:
    made = spec(COPY.replace("PART", part))
    for model in (runtime.build(made, device="cpu"), stand_alone(made)):
        torch.testing.assert_close(model.b.weight, model.a.weight)
        assert torch.equal(model.b.bias, model.a.bias)
    before = model.get_submodule(part if part in "ab" else "b").weight.clone()
    model.reset_parameters()  # of the stand-alone model: what is parametrised stays
    torch.testing.assert_close(model.get_submodule(part if part in "ab" else "b").weight, before)
    assert torch.equal(model.b.bias, model.a.bias)


# Layers inside layers, which programs call otherwise than by their keys.


def test_a_layer_inside_is_reached_by_what_programs_call_it() -> None:
    made = spec(
        """
        blocks:
          Pair: {layers: {1x1 as reduce: Linear(4), down: Linear(4)}, forward: "return down(reduce(x))"}
          Outer: {layers: {in-1 as inner: Pair, h: {repeat: 2, of: Pair}}, forward: "return inner(h(x))"}
        model:
          layers: {0-stem as stem: Outer, pair: Pair}
          forward: |
            y = stem.inner.reduce(x) @ stem.inner.reduce.weight + stem.inner.down(x)
            for each in stem.h:
              y = each.reduce(y) + each.reduce.bias
            y = stem.h[0].reduce(y) @ stem.h[0].reduce.weight
            return stem.h[0].down(y) + stem.h[1].down(pair.reduce(y)) + pair.down(y)
        """
    )
    layers = ["0-stem.in-1.1x1", "0-stem.in-1.down", "0-stem.h.0.1x1", "0-stem.h.0.down"]
    layers += ["0-stem.h.1.1x1", "0-stem.h.1.down", "pair.1x1", "pair.down"]
    assert_is_alone(made, " ".join(f"{name}.{tensor}" for name in layers for tensor in ("weight", "bias")))


def test_one_name_of_two_keys_is_refused() -> None:
    with pytest.raises(SpecError, match="the layer `2x2` here, and the layer `1x1` where"):
        spec(
            """
            blocks:
              A: {layers: {1x1 as reduce: Linear(4)}, forward: "return reduce(x)"}
              B: {layers: {2x2 as reduce: Linear(4)}, forward: "return reduce(x)"}
            model:
              layers: {h: [A, B]}
              forward: |
                for each in h:
                  x = each.reduce(x)
                return x
            """
        )


# Layers that extend another one, read from outside.


def test_the_tensors_of_an_extended_layer_are_read_from_outside() -> None:
    made = spec(
        """
        blocks:
          Norm(act=ReLU): {extends: BatchNorm2d, layers: {act: act}}
          Unit: {layers: {n-1 as norm: Norm, conv: "Conv2d(3, 1)"}, forward: "return norm(conv(x))"}
        model:
          layers: {bn: Norm, h: {repeat: 2, of: Unit}}
          forward: |
            x = bn(x) * bn.weight[:, None, None] + bn.running_mean[:, None, None]
            for unit in h:
              x = unit(x) * unit.norm.weight[:, None, None] + unit.norm.running_mean[:, None, None]
            return h[0].norm.act(x) + h[1].norm.bias[:, None, None]
        """,
        IMAGE,
    )
    tensors = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    keys = [f"bn.{name}" for name in tensors]
    for place in ("h.0", "h.1"):
        keys += [f"{place}.n-1.{name}" for name in tensors] + [f"{place}.conv.weight", f"{place}.conv.bias"]
    assert_is_alone(made, " ".join(keys), torch.randn(2, 3, 4, 4))


@pytest.mark.parametrize("attribute", ["base", "weigth"])
def test_what_an_extended_layer_has_not_is_refused(attribute: str) -> None:
    with pytest.raises(SpecError, match=f"`bn` has no parameter or buffer `{attribute}`"):
        spec(
            f"""
            blocks: {{Norm: {{extends: BatchNorm2d, layers: {{act: ReLU}}}}}}
            model: {{layers: {{bn: Norm}}, forward: "return bn(x) + bn.{attribute}.sum()"}}
            """,
            IMAGE,
        )


# Lists that run a layer of the block around them.


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ("[fc, ReLU, LayerNorm]", "fc body.2"),
        ("[LayerNorm, fc, Linear(4), last: Linear(4), fc, Linear(4)]", "fc body.0 body.2 body.last body.5"),
        ("[LayerNorm, Linear(4), fc]", "fc body.0 body.1"),
    ],
)
def test_items_behind_a_borrowed_layer_are_named_by_their_positions(body: str, keys: str) -> None:
    made = spec(
        f"""
        model:
          layers: {{1x1 as fc: Linear(4), body: {body}}}
          forward: return fc(body(x))
        """
    )
    names = keys.replace("fc", "1x1").split()
    assert_is_alone(made, " ".join(f"{name}.{tensor}" for name in names for tensor in ("weight", "bias")))


# Parametrised weights, read from outside.


def test_a_parametrised_weight_is_read_inside_a_layer() -> None:
    made = spec(
        """
        blocks:
          Wide(width): {extends: Linear(width), layers: {act: ReLU}}
          Unit: {layers: {0n as n: Wide(4)}, forward: "return n(x)"}
        model:
          layers: {u: Unit, v: Unit, rows: [Linear(4), ReLU]}
          forward: |
            return v(u(x)) @ v.n.weight + rows[0](x) @ rows[0].weight
        init: [v: copy('u')]
        parametrize: [v: weight_norm, rows: weight_norm]
        """
    )
    stored = "bias {0}.parametrizations.weight.original0 {0}.parametrizations.weight.original1"
    keys = f"u.0n.weight u.0n.bias v.0n.{stored.format('v.0n')} rows.0.{stored.format('rows.0')}"
    assert_is_alone(made, keys)
    stand_alone(made).reset_parameters()  # type: ignore[operator]
