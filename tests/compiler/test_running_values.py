"""Values that go from copy to copy of a repeat, and the number of a copy under a name of its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.rules.provenance import Provenance
from tests.emitted_file import class_of, run_file

SPEC = """
spec: 1
name: grown
vars: {growth: 4, depths: [2, 3, 1], base: 6}
inputs: {image: "float[batch, 3, 8, 8]"}
blocks:
  Dense:
    layers: {conv: "Conv2d(growth, 3, padding=1)"}
    forward: return cat([x, conv(x)], dim=1)
model:
  - Conv2d(base, 3, padding=1)
  - repeat: depths
    as: depth
    index: stage
    running: {channels: [2 * base, channels // 2 + depth * growth]}
    splice:
      - {if: stage > 0, splice: ["shrink{stage}": "Conv2d(channels // 2, 1)"]}
      - block{stage}: {repeat: depth, of: Dense, name: "layer{stage}_{index}"}
  - BatchNorm2d
"""


class Dense(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x)], dim=1)


def by_hand(growth: int, depths: list[int], base: int) -> nn.Sequential:
    model, width = nn.Sequential(nn.Conv2d(3, base, 3, padding=1)), base
    for stage, depth in enumerate(depths):
        if stage:
            model.add_module(f"shrink{stage}", nn.Conv2d(width, width // 2, 1))
            width //= 2
        block = nn.Sequential()
        for index in range(depth):
            block.add_module(f"layer{stage}_{index}", Dense(width, growth))
            width += growth
        model.add_module(f"block{stage}", block)
    model.append(nn.BatchNorm2d(width))
    return model


@pytest.mark.parametrize("values", [{}, {"growth": 3, "depths": [1, 2], "base": 5}])
def test_a_model_whose_widths_run_on(values: dict[str, object]) -> None:
    artifact = compiler.compile_text(SPEC, set=values)
    model = runtime.build(artifact, seed=0, device="cpu")
    expected = by_hand(**{"growth": 4, "depths": [2, 3, 1], "base": 6, **values})  # type: ignore[arg-type]
    expected.load_state_dict(model.state_dict())
    alone = class_of(compiler.compile_text(SPEC).source, "Grown")(**values)
    alone.load_state_dict(model.state_dict())
    image = torch.randn(2, 3, 8, 8)
    for each in (model, alone):
        torch.testing.assert_close(each(image), expected(image))


def test_the_source_carries_the_value_through_the_loop() -> None:
    source = compiler.compile_text(SPEC).source
    for line in (
        "channels = 2 * base\n",
        "for stage, depth in enumerate(depths):\n",
        'self.add_module(f"shrink{stage}", nn.Conv2d(channels, channels // 2, 1))\n',
        "channels = channels // 2 + depth * growth\n",
        "self.append(nn.BatchNorm2d(channels))\n",
    ):
        assert line in source


def sizes(model: str) -> list[tuple[int, int]]:
    """Return the sizes of the layers of a model, built and from its file."""
    artifact = compiler.compile_text(f'spec: 1\ninputs: {{x: "float[batch, 4]"}}\nmodel: {model}\n')
    alone = run_file(artifact.source, artifact.name)
    built = [tuple(row.shape) for row in artifact.plan.rows if row.name.endswith("weight")]
    assert built == [
        tuple(value.shape) for key, value in alone.state_dict().items() if key.endswith("weight")
    ]
    return [(fan_in, fan_out) for fan_out, fan_in in built]


def test_values_run_on_together() -> None:
    found = sizes('[{repeat: 4, running: {a: [1, b], b: [2, a + b]}, of: "Linear(10 * a + b)"}]')
    assert [out for _, out in found] == [12, 23, 35, 58]


def test_a_value_that_nothing_reads_but_itself_is_not_written() -> None:
    text = """
spec: 1
inputs: {x: "float[batch, 4]"}
model: [{repeat: 2, running: {a: [1, a + 1]}, of: Linear(3)}]
"""
    assert "a = " not in compiler.compile_text(text).source


def test_whole_numbers_that_become_fractions() -> None:
    found = sizes('[{repeat: 3, running: {rate: [2, rate * 1.5]}, of: "Linear(round(2 * rate))"}]')
    assert [out for _, out in found] == [4, 6, 9]
    text = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 4]"}
model: [{repeat: 3, running: {rate: [0, rate + 0.25]}, of: Dropout(rate)}]
""").source
    assert "rate: float = 0" in text


def test_a_repeat_inside_sees_the_number_of_the_one_around() -> None:
    inner = '{repeat: 2, of: "Linear(10 * (stage + 1) + index)"}'
    found = sizes(f"[{{repeat: 2, index: stage, of: {inner}}}]")
    assert [out for _, out in found] == [10, 11, 20, 21]
    inner = '{repeat: 2, index: i, of: "Linear(10 * (index + 1) + i)"}'
    found = sizes(f"[{{repeat: 2, of: {inner}}}]")
    assert [out for _, out in found] == [10, 11, 20, 21]


@pytest.mark.parametrize(
    "bound",
    ["repeat: [3, 4], as: width", "repeat: 2, running: {width: [3, width + 1]}", "repeat: 2, index: width"],
)
def test_a_name_that_a_repeat_binds_means_the_other_value_again_behind_it(bound: str) -> None:
    text = f"""
spec: 1
inputs: {{x: "float[batch, 4]"}}
blocks:
  Block(width):
    - {{{bound}, splice: [Linear(width + 1)]}}
    - Linear(width)
model: [Block(5), Block(6)]
"""
    artifact = compiler.compile_text(text)
    alone = run_file(artifact.source, artifact.name).state_dict()
    assert [alone[name].shape[0] for name in ("0.2.weight", "1.2.weight")] == [5, 6]
    assert {name: value.shape for name, value in alone.items()} == {
        row.name: row.shape for row in artifact.plan.rows
    }


def test_explain_says_how_a_running_value_is_computed() -> None:
    artifact = compiler.compile_text(SPEC)
    row = artifact.plan.by_name["shrink1.weight"].source
    (size, *_) = Provenance(artifact.inferred).sizes(row)
    texts = [(each.text, each.place.line if each.place else None) for each in size.origins]
    assert ("channels = 14", 15) in texts
    assert ("base = 6", 4) in texts
