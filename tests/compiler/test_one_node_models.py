"""Models that are one call: the layer or the block itself, without a key between."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.rules.provenance import Provenance
from tests.emitted_file import class_of

BLOCK = """
spec: 1
name: whole
vars: {dim: 4, width: 3, std: 0.5}
presets: {large: {dim: 6}}
inputs: {image: "float[batch, 5]"}
blocks:
  Part(width, depth, act=ReLU):
    vars: {hidden: 2 * width}
    layers:
      stem: Linear(width)
      h: {repeat: depth, of: Linear(hidden)}
      last: act
      out: Linear(3)
    parameters: {gain: "float[hidden]"}
    forward: return out(last(h(stem(x))) * gain)
    init: [gain: constant(hidden), /stem.bias: ones]
model: Part(2 * dim, width - 1, GELU)
init:
  - Linear.weight: normal(std=std / width)
"""


class Part(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        hidden = 2 * width
        self.gain = nn.Parameter(torch.full((hidden,), float(hidden)))
        self.stem = nn.Linear(5, width)
        self.h = nn.Sequential(*[nn.Linear(width if at == 0 else hidden, hidden) for at in range(depth)])
        self.last = nn.GELU()
        self.out = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.out(self.last(self.h(self.stem(x))) * self.gain)
        return x


def source_of(text: str, **given: object) -> str:
    return compiler.compile_text(text, **given).source  # type: ignore[arg-type]


def spec(model: str, more: str = "", inputs: str = 'x: "float[batch, 4]"') -> str:
    return f"spec: 1\nname: whole\ninputs: {{{inputs}}}\nmodel: {model}\n{more}\n"


@pytest.mark.parametrize("values", [{}, {"dim": 2, "width": 4}])
def test_a_model_that_is_a_block_has_the_keys_of_the_block(values: dict[str, int]) -> None:
    artifact = compiler.compile_text(BLOCK, set=values)
    model, expected = (
        runtime.build(artifact, seed=0, device="cpu"),
        Part(2 * values.get("dim", 4), values.get("width", 3) - 1),
    )
    alone = class_of(artifact.source, "Whole")()
    assert [*model.state_dict()] == [*expected.state_dict()] == [row.name for row in artifact.plan.rows]
    image = torch.randn(2, 5)
    for each in (expected, alone):
        each.load_state_dict(model.state_dict())
        torch.testing.assert_close(each(image), model(image))
        each(image).square().sum().backward()
    gradients = {name: value.grad for name, value in alone.named_parameters()}
    for name, value in expected.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad)


def test_its_class_derives_from_that_of_the_block() -> None:
    source = source_of(BLOCK)
    assert "class Whole(Part):" in source
    assert "return cls(dim=6)" in source
    large = class_of(source, "Whole").large()
    assert large.stem.weight.shape == (12, 5)


@pytest.mark.parametrize("model", ["Linear(3)", "{layer: Linear, out_features: 3}", "head", "Head(1 + 2)"])
def test_a_model_that_is_a_layer_has_the_keys_of_the_layer(model: str) -> None:
    more = "vars: {head: Linear(3)}\nblocks: {Head(width): Linear(width)}"
    artifact = compiler.compile_text(spec(model, more))
    built = runtime.build(artifact, seed=0, device="cpu")
    assert isinstance(built, nn.Linear)
    assert [*built.state_dict()] == ["weight", "bias"]
    alone, x = class_of(artifact.source, "Whole")(), torch.randn(2, 4)
    alone.load_state_dict(built.state_dict())
    torch.testing.assert_close(alone(x), nn.functional.linear(x, built.weight, built.bias))


@pytest.mark.parametrize(
    "model",
    ["[Linear(4)]", "{residual: Linear(4)}", "{repeat: 1, of: Linear(4)}", "{if: 1 < 2, then: Linear(4)}"],
)
def test_what_is_no_call_has_a_key(model: str) -> None:
    assert [row.name for row in compiler.compile_text(spec(model)).plan.rows] == ["0.weight", "0.bias"]


def test_first_values_are_given_once_all_that_they_read_is_there() -> None:
    """The constructor of the block calls the method before the model has values of its own."""
    model = class_of(source_of(BLOCK), "Whole")()
    assert (model.gain == 16).all()
    assert (model.stem.bias == 1).all()
    large = class_of(source_of(BLOCK), "Whole")(std=300.0)
    assert large.out.weight.std() > 20
    built = runtime.build(compiler.compile_text(BLOCK, set={"std": 300.0}), seed=0, device="cpu")
    assert built.get_parameter("out.weight").std() > 20
    assert (built.get_parameter("gain") == 16).all()


ROWS = """
spec: 1
name: rows
vars: {width: 4}
inputs: {x: "float[batch, 4]"}
blocks:
  Unit: ["Linear(4, bias=False)", BatchNorm1d]
  Stack(depth):
    - {repeat: depth, of: Unit}
    - head: Linear(4)
model: Stack(3)
"""


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        ("/head", ["head.weight", "head.bias"]),
        ("Stack.head", ["head.weight", "head.bias"]),
        ("/Stack.head.bias", ["head.bias"]),
        ("Stack[-1].bias", ["head.bias"]),
        ("/*.bias", ["head.bias"]),
        ("Stack[1].0", ["1.0.weight"]),
        ("/2.Linear", ["2.0.weight"]),
        ("Linear.bias", ["head.bias"]),
    ],
)
def test_selectors_begin_at_the_node_or_with_its_type(selector: str, named: list[str]) -> None:
    artifact = compiler.compile_text(f'{ROWS}freeze: ["{selector}"]\ninit: [{{"{selector}": 0.25}}]\n')
    model, alone = runtime.build(artifact, seed=0, device="cpu"), class_of(artifact.source, "Rows")()
    for each in (model, alone):
        assert [n for n, p in each.named_parameters() if not p.requires_grad] == named
        assert [n for n, p in each.named_parameters() if (p == 0.25).all()] == named


def test_what_is_frozen_whole_stays_in_evaluation_mode() -> None:
    for model in ("BatchNorm1d", "Norm"):
        more = "blocks: {Norm: {layers: {norm: BatchNorm1d}}}\nfreeze: [/]"
        artifact = compiler.compile_text(spec(model, more))
        for each in (runtime.build(artifact, device="cpu"), class_of(artifact.source, "Whole")()):
            each.train()
            each(torch.randn(8, 4))
            means = [value for name, value in each.state_dict().items() if name.endswith("running_mean")]
            assert len(means) == 1
            assert (means[0] == 0).all()


def test_rules_tie_copy_and_parametrise_parts_of_the_node() -> None:
    more = """
share: {head: [/0.0.weight, /1.0.weight]}
init: [{/head.weight: copy('2.0.weight')}, {/2.0.weight: normal}]
parametrize: [{/2.0.weight: weight_norm}]
"""
    artifact = compiler.compile_text(ROWS + more)
    for each in (runtime.build(artifact, seed=0, device="cpu"), class_of(artifact.source, "Rows")()):
        assert each.get_parameter("0.0.weight") is each.get_parameter("1.0.weight")
        assert "2.0.parametrizations.weight.original0" in each.state_dict()
        torch.testing.assert_close(each.get_submodule("head").weight, each.get_submodule("2.0").weight)


def test_the_weight_of_the_model_itself_is_parametrised() -> None:
    artifact = compiler.compile_text(spec("Linear(3)", "parametrize: [weight: weight_norm]"))
    expected = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    for each in (runtime.build(artifact, seed=0, device="cpu"), class_of(artifact.source, "Whole")()):
        assert sorted(each.state_dict()) == sorted(expected.state_dict())


RECURSIVE = """
spec: 1
name: tree
vars: {depth: 3}
inputs: {x: "float[batch, 4]"}
blocks:
  Tree(depth):
    layers:
      here: Linear(4)
      below: {if: depth > 1, then: Tree(depth - 1), else: Linear(4)}
    forward: return here(x) + below(x)
    init: [/here.bias: constant(depth)]
model: Tree(depth)
init: [/below.here.bias: 9]
"""


def test_a_block_that_contains_itself_may_be_the_model() -> None:
    artifact = compiler.compile_text(RECURSIVE)
    assert "class TreeModel(Tree):" in artifact.source
    for each in (
        runtime.build(artifact, seed=0, device="cpu"),
        class_of(artifact.source, "TreeModel")(),
    ):
        biases = [p[0].item() for n, p in each.named_parameters() if n.endswith("here.bias")]
        assert biases == [3, 9, 1]


def test_inputs_go_to_the_node_in_their_order() -> None:
    more = """
blocks:
  Cross(dim):
    layers: {q: Linear(dim), kv: Linear(dim)}
    forward(queries, memory, scale=1): return q(queries) - scale * kv(memory)
"""
    inputs = 'x: "float[batch, 4]", y: "float[batch, 6]"'
    artifact = compiler.compile_text(spec("Cross(2)", more, inputs))
    model, (x, y) = runtime.build(artifact, seed=0, device="cpu"), (torch.randn(2, 4), torch.randn(2, 6))
    torch.testing.assert_close(model(x, y), model.get_submodule("q")(x) - model.get_submodule("kv")(y))
    attention = compiler.compile_text(spec("Bilinear(3)", "", inputs))
    assert [row.shape for row in attention.plan.rows] == [(3, 4, 6), (3,)]


def test_a_saved_model_is_loaded_by_its_keys(tmp_path: Path) -> None:
    model = runtime.build(compiler.compile_text(BLOCK), seed=0, device="cpu")
    runtime.save(model, tmp_path / "whole.safetensors")
    again = runtime.load(tmp_path / "whole.safetensors")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_explain_follows_the_arguments_of_the_node() -> None:
    artifact = compiler.compile_text(BLOCK)
    size = Provenance(artifact.inferred).sizes(artifact.plan.by_name["stem.weight"].source)[0]
    assert [each.text for each in size.origins] == [
        "out_features = width",
        "width of Part = 2 * dim",
        "dim = 4",
    ]
    layer = compiler.compile_text(spec("Linear(2 * dim)", "vars: {dim: 3}"))
    size = Provenance(layer.inferred).sizes(layer.plan.by_name["weight"].source)[0]
    assert [each.text for each in size.origins] == ["out_features = 2 * dim", "dim = 3"]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        (spec("Linear(5, in_features=3)"), "wrong-size", 4),
        (spec("Linear(5)", "", 'x: "float[batch, 4]", y: "float[batch, 4]"'), "input-count", 4),
        (
            spec("Part", "blocks: {Part: {layers: {a: Linear(3), b: 'Linear(2, in_features=5)'}}}"),
            "wrong-size",
            5,
        ),
        (spec("Linear(3)", "init: [/0.weight: zeros]"), "unused-rule", 5),
        (spec("Part", "blocks: {Part: Linear(3)}\ninit: [Part.weight: zeros]"), "unused-rule", 6),
        (spec("Linaer(3)"), "unknown-layer", 4),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, code: str, place: int) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text)
    found = [(each.code, each.span.line) for each in caught.value.diagnostics if each.span]
    assert found == [(code, place)]


def test_a_block_that_extends_a_layer_may_be_the_model() -> None:
    """The constructor of that layer calls the method before anything else is there."""
    more = """
vars: {std: 0.25}
blocks: {Both: {extends: BatchNorm1d, layers: {norm: Linear(4)}}}
init: [{norm.weight: constant(std)}, {/bias: copy('norm.bias')}, {/norm.bias: ones}]
"""
    artifact = compiler.compile_text(spec("Both", more))
    for each in (runtime.build(artifact, seed=0, device="cpu"), class_of(artifact.source, "Whole")()):
        assert isinstance(each, nn.BatchNorm1d)
        assert (each.get_parameter("norm.weight") == 0.25).all()
        assert (each.bias == 1).all()
