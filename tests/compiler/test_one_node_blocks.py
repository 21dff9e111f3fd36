"""Blocks that are one call of a layer, and variables that are layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.rules.provenance import Provenance
from tests.emitted_file import class_of

SPEC = """
spec: 1
name: stood
vars: {unit: 4, eps: 1e-3, act: LeakyReLU(slope), slope: 0.2}
inputs: {image: "float[batch, 3, 8, 8]"}
blocks:
  Norm: BatchNorm2d(eps=eps)
  Conv(width, kernel=1): Conv2d(width, kernel, padding=kernel // 2, bias=False)
  Wide(width): Conv(2 * width, kernel=3)
  Unit(width, norm=Norm):
    layers: {conv: "Conv(width, 3)", bn: norm, last: act}
    forward: return last(bn(conv(x)))
  Long(width): {layer: Unit, width: "${2 * width}"}
model:
  - stem: Conv(unit)
  - {repeat: [[8, 1], [12, 3]], as: [width, size], of: "Conv(width, size)"}
  - Wide(unit)
  - Long(unit)
  - Unit(8, GroupNorm(2))
  - act
init: [BatchNorm2d.weight: constant(2)]
"""


class Unit(nn.Module):
    def __init__(self, before: int, width: int, norm: nn.Module, slope: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.bn, self.last = norm, nn.LeakyReLU(slope)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.bn(self.conv(x)))
        return x


def by_hand(unit: int = 4, eps: float = 1e-3, slope: float = 0.2) -> nn.Sequential:
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(3, unit, 1, bias=False))
    model.append(nn.Conv2d(unit, 8, 1, bias=False))
    model.append(nn.Conv2d(8, 12, 3, padding=1, bias=False))
    model.append(nn.Conv2d(12, 2 * unit, 3, padding=1, bias=False))
    model.append(Unit(2 * unit, 2 * unit, nn.BatchNorm2d(2 * unit, eps=eps), slope))
    model.append(Unit(2 * unit, 8, nn.GroupNorm(2, 8), slope))
    model.append(nn.LeakyReLU(slope))
    return model


@pytest.mark.parametrize("values", [{}, {"unit": 3, "eps": 0.5, "slope": 0.4}])
def test_a_block_that_is_one_call_is_that_layer(values: dict[str, float]) -> None:
    artifact = compiler.compile_text(SPEC, set=values)
    model, expected = runtime.build(artifact, seed=0, device="cpu"), by_hand(**values)  # type: ignore[arg-type]
    alone = class_of(compiler.compile_text(SPEC).source, "Stood")(**values)
    assert [*model.state_dict()] == [*expected.state_dict()]
    assert model.get_parameter("4.bn.weight").eq(2).all()
    image = torch.randn(2, 3, 8, 8)
    for each in (expected, alone):
        each.load_state_dict(model.state_dict())
        each.eval()
        torch.testing.assert_close(each(image), model.eval()(image))
        each(image).square().sum().backward()
    gradients = {name: value.grad for name, value in alone.named_parameters()}
    for name, value in expected.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad)


def test_the_source_has_the_layer_itself() -> None:
    source = compiler.compile_text(SPEC).source
    for line in (
        "self.stem = nn.Conv2d(3, unit, 1, bias=False)",
        "width, size, padding=size // 2, bias=False)",
        "nn.Conv2d(12, 2 * unit, 3, padding=1, bias=False)",
        "nn.LeakyReLU(slope)",
    ):
        assert line in source
    assert not {"class Norm", "class Conv", "class Wide", "class Long"} & {
        line.partition("(")[0] for line in source.splitlines()
    }


def test_a_variable_that_hides_one_of_the_file_is_not_taken_for_it() -> None:
    artifact = compiler.compile_text("""
spec: 1
name: hidden
vars: {width: 5}
inputs: {x: "float[batch, 3]"}
blocks:
  Out: Linear(width)
  Block(width): ["Linear(width)", Out]
model: [Block(7), Block(8)]
""")
    alone = class_of(artifact.source, "Hidden")()
    assert {name: each.shape for name, each in alone.state_dict().items()} == {
        row.name: row.shape for row in artifact.plan.rows
    }
    assert alone.get_parameter("0.1.weight").shape == (5, 7)


def test_a_preset_and_the_caller_give_other_layers() -> None:
    text = """
spec: 1
vars: {norm: BatchNorm2d, width: 4}
presets: {grouped: {norm: GroupNorm(1)}}
inputs: {image: "float[batch, 3, 4, 4]"}
model: ["Conv2d(width, 1)", norm, residual: [norm]]
"""
    text = text.replace("residual: [norm]", "{residual: [norm]}")

    def kinds(**given: object) -> list[str]:
        model = runtime.build(compiler.compile_text(text, **given), device="cpu")  # type: ignore[arg-type]
        return [type(each).__name__ for each in (model.get_submodule("1"), model.get_submodule("2.0"))]

    assert kinds() == ["BatchNorm2d"] * 2
    assert kinds(preset="grouped") == ["GroupNorm"] * 2
    assert kinds(set={"norm": "InstanceNorm2d"}) == ["InstanceNorm2d"] * 2


def test_explain_follows_the_arguments() -> None:
    artifact = compiler.compile_text(SPEC)
    (size, *_) = Provenance(artifact.inferred).sizes(artifact.plan.by_name["stem.weight"].source)
    assert [each.text for each in size.origins] == [
        "out_channels = width",
        "width of Conv = unit",
        "unit = 4",
    ]


def test_a_rule_for_such_a_block_is_told_the_type() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(SPEC.replace("init: [BatchNorm2d", "init: [Norm"))
    (found,) = caught.value.diagnostics
    assert found.code == "unused-rule"
    assert found.help is not None
    assert "`BatchNorm2d.weight`" in found.help


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("vars: {norm: BatchNorm3d}", "shape-mismatch"),
        ("vars: {norm: BatchNorm9}", "unknown-layer"),
        ("vars: {norm: BatchNorm2d(eps=epsilon)}", "unknown-name"),
        ("vars: {norm: BatchNorm2d, size: norm + 1}", "evaluation"),
        ("blocks: {norm: BatchNorm2d}", "bad-name"),
        ("blocks: {A: B, B: A}", "block-cycle"),
    ],
)
def test_what_is_no_layer_is_refused(written: str, code: str) -> None:
    use = "norm" if "norm" in written else "A"
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f'spec: 1\ninputs: {{x: "float[batch, 3, 4, 4]"}}\n{written}\nmodel: [{use}]\n')
    print([str(each) for each in caught.value.diagnostics])
    assert code in {each.code for each in caught.value.diagnostics}
