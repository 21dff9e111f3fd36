"""Variables of a spec as arguments of the emitted classes: the file at other values is the model compiled with them."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import Any

import pytest
import torch
from torch import nn

import compiler
import runtime
from compiler import Artifact
from tests.emitted_file import class_of


def made(text: str, **settings: Any) -> Artifact:
    written = {name: json.dumps(value) for name, value in settings.items()}
    return compiler.compile_text("spec: 1\n" + textwrap.dedent(text), set=written)


def root(artifact: Artifact) -> Any:
    return class_of(artifact.source, artifact.name)


def arguments(artifact: Artifact) -> dict[str, Any]:
    parameters = inspect.signature(root(artifact)).parameters
    return {name: each.default for name, each in parameters.items()}


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def agrees(text: str, **settings: Any) -> bool:
    """Return whether the file at other values has the tensors of the model that is compiled with these."""
    return shapes(root(made(text))(**settings)) == shapes(runtime.build(made(text, **settings)))


def computes_alike(text: str, **settings: Any) -> bool:
    """Return whether the file at other values has the keys and the output, for three numbers, of that model."""
    x, alone, model = torch.ones(2, 3), root(made(text))(**settings), runtime.build(made(text, **settings))
    alone.load_state_dict(model.state_dict(), strict=True)
    return torch.equal(alone(x), model(x))


STAGES = """
    vars:
      widths: [16, 32, 64]
      depths: [2, 1, 2]
      normed: true
      classes: 10
    inputs: {image: "float[batch, 3, 8, 8]"}
    model:
      - features:
          - repeat: zip(widths, depths)
            as: [width, depth]
            splice:
              - repeat: depth
                splice:
                  - Conv2d(width, 3, padding=1)
                  - {if: normed, splice: [BatchNorm2d]}
              - MaxPool2d(2)
      - AdaptiveAvgPool2d(1)
      - flatten(1)
      - Linear(classes)
"""


def test_what_a_copy_leaves_to_the_next_is_a_local_value() -> None:
    source = made(STAGES).source
    assert "in_channels = 3\n" in source
    assert "nn.Conv2d(in_channels, width, 3, padding=1)" in source
    assert "in_channels = width\n" in source


@pytest.mark.parametrize(
    "settings",
    [
        {"widths": [8, 24, 40]},
        {"depths": [1, 3, 1]},
        {"widths": [4, 12], "depths": [1, 1]},
        {"normed": False, "classes": 7},
    ],
)
def test_the_loop_is_that_of_other_tables(settings: dict[str, Any]) -> None:
    widths = settings.get("widths", [16, 32, 64])
    size = 8 // 2 ** len(widths)
    text = STAGES.replace("8, 8]", f"{8 if size else 4}, 8]")
    assert agrees(text, **settings)


def test_the_size_behind_a_loop_is_what_it_has_left() -> None:
    assert "nn.Linear(in_channels, classes)" in made(STAGES).source


SQUEEZED = """
    vars: {width: 16, squeezed: 4}
    inputs: {x: "float[batch, 8]"}
    blocks:
      Part(width, squeezed):
        - Linear(width)
        - {if: squeezed > 0, splice: ["LAYER", ReLU]}
        - Linear(width)
      Squeeze(width, squeezed): ["Linear(squeezed)", "Linear(width)"]
    model: ["Part(width, squeezed)"]
"""


def test_a_condition_that_only_happens_to_hold_is_written() -> None:
    text = SQUEEZED.replace("LAYER", "Squeeze(width, squeezed)")
    assert "if squeezed > 0:" in made(text).source
    assert agrees(text, squeezed=0)
    assert agrees(text, width=5, squeezed=3)


def test_a_condition_is_not_written_where_sizes_behind_it_hang_on_it() -> None:
    text = SQUEEZED.replace("LAYER", "Linear(squeezed)")
    assert arguments(made(text)) == {"width": 16}
    assert agrees(text, width=5)


def test_a_list_may_be_given_as_a_tuple_wherever_it_is_joined() -> None:
    text = """
        vars: {widths: [16, 24], last: 12, all: "[4, 6] + widths * 2 + [last]"}
        inputs: {x: "float[batch, 8]"}
        model:
          - {repeat: all, as: width, of: Linear(width)}
    """
    assert arguments(made(text)) == {"widths": (16, 24), "last": 12}
    for widths in ([3, 5], (3, 5), [7, 9, 11]):
        model = root(made(text))(widths=widths)
        assert shapes(model) == shapes(runtime.build(made(text, widths=list(widths))))


def test_numbers_that_happen_to_agree_are_not_taken_for_each_other() -> None:
    text = """
        vars: {hidden: 64, wide: 64}
        inputs: {x: "float[batch, 64]"}
        blocks:
          Part(hidden): ["Linear(hidden)", ReLU, "Linear(64)"]
        model: [Part(hidden), Linear(wide)]
    """
    assert agrees(text, hidden=12)
    assert agrees(text, wide=12)
    assert shapes(root(made(text))(hidden=12))["0.0.weight"] == (12, 64)


def test_a_variable_that_decides_the_layers_beyond_telling_stays() -> None:
    text = """
        vars: {kind: "'relu'", width: 16}
        inputs: {x: "float[batch, 8]"}
        model: [Linear(width), {if: kind == 'relu', then: ReLU, else: Tanh}]
    """
    assert arguments(made(text)) == {"width": 16}


def test_what_is_computed_last_is_taken() -> None:
    text = """
        vars:
          base: 64
          near: max(8, base // 8 * 8)
          width: near if near >= 0.9 * base else near + 8
        inputs: {x: "float[batch, 3]"}
        model: [Linear(width), ReLU, Linear(5)]
    """
    assert "nn.Linear(width, 5)" in made(text).source
    assert agrees(text, base=15)


def test_a_preset_is_a_class_method_of_any_class_below() -> None:
    text = """
        vars: {width: 16, hidden: 4 * width}
        presets: {tiny: {width: 2}, flat: {width: 6, hidden: 5}}
        inputs: {x: "float[batch, 8]"}
        model: [Linear(hidden), ReLU, Linear(width)]
    """
    cls = root(made(text))
    assert shapes(cls.tiny()) == shapes(runtime.build(made(text, width=2)))
    assert shapes(cls.flat()) == shapes(runtime.build(made(text, width=6, hidden=5)))
    mine: Any = type("Mine", (cls,), {})
    assert type(mine.tiny()) is mine


def test_first_values_follow_the_arguments() -> None:
    text = """
        vars: {width: 256, depth: 2}
        inputs: {x: "float[batch, 256]"}
        model: [{repeat: depth, of: Linear(width)}]
        init: [Linear.weight: normal(std=1 / sqrt(width * depth))]
    """
    torch.manual_seed(0)
    model = root(made(text))(width=400, depth=4)
    drawn = torch.cat([tensor.flatten() for name, tensor in model.state_dict().items() if "weight" in name])
    assert drawn.std().item() == pytest.approx((400 * 4) ** -0.5, rel=0.02)


def test_half_of_a_sum_does_not_tell_the_sum() -> None:
    text = """
        vars: {base: 8, growth: 4, depth: 2, half: (base + depth * growth) // 2}
        inputs: {x: "float[batch, 3]"}
        model: [Linear(base + depth * growth), Linear(half), Linear(5)]
    """
    assert agrees(text, base=7, growth=3, depth=4)
    assert agrees(text, base=9)


def test_equal_items_of_a_list_are_told_from_each_other() -> None:
    text = """
        vars: {widths: [24, 16, 16]}
        inputs: {x: "float[batch, 3]"}
        model: ["Linear(widths[0])", "Linear(widths[1])", "Linear(widths[2])", Linear(5)]
    """
    assert agrees(text, widths=[8, 9, 10])


def test_a_variable_that_decides_a_rule_stays_and_so_does_its_preset() -> None:
    text = """
        vars: {width: 16, tied: false}
        presets: {tiny: {width: 4}, small: {width: 8, tied: true}}
        inputs: {x: "float[batch, width]"}
        model: [one: Linear(width), two: Linear(width)]
        share: {both: {if: tied, then: [one.weight, two.weight]}}
    """
    assert arguments(made(text)) == {"width": 16}
    assert hasattr(root(made(text)), "tiny")
    assert not hasattr(root(made(text)), "small")


def test_a_size_behind_a_bounded_one_is_bounded_as_well() -> None:
    text = """
        vars: {width: 2, cap: 64}
        inputs: {x: "float[batch, 3]"}
        model:
          - {residual: ["Linear(min(width, 4))", "Linear(max(width, cap))", Linear(3)]}
    """
    assert agrees(text, width=10)
    assert agrees(text, width=100, cap=5)


HIDING = """
    vars: {wide: 2, dim: 2 * wide, other: 3}
    presets: {big: {dim: 8}}
    inputs: {x: "float[batch, 6]"}
    blocks:
      Inner:
        vars: {own: dim + other, dim: dim + 1}
        layers: {a: Linear(own), b: Linear(dim)}
    model:
      vars: {dim: 2 * dim}
      layers: {b: Linear(dim), c: Inner, d: Linear(other)}
      forward: return d(c(b(x)))
"""


@pytest.mark.parametrize("settings", [{}, {"wide": 5}, {"dim": 8}])
def test_a_block_that_hides_a_variable_is_computed_from_its_value(settings: dict[str, Any]) -> None:
    artifact = made(HIDING, **settings)
    dim = settings.get("dim", 2 * settings.get("wide", 2))
    built = shapes(runtime.build(artifact))
    assert built["b.weight"] == (2 * dim, 6)
    assert built["c.a.weight"] == (dim + 3, 2 * dim)
    assert built["c.b.weight"] == (dim + 1, dim + 3)
    assert shapes(root(artifact)()) == built
    assert arguments(artifact) == {"other": 3}
    assert agrees(HIDING, other=5)


def test_a_comprehension_may_bind_a_name_that_is_hidden() -> None:
    summed = '{dim: "dim + sum([dim for dim in range(wide)])"}'
    text = HIDING.replace("{dim: 2 * dim}", summed)
    artifact = made(text, wide=3)
    assert shapes(root(artifact)()) == shapes(runtime.build(artifact))
    assert shapes(root(artifact)())["b.weight"] == (9, 6)


def test_a_computed_variable_may_be_called_self() -> None:
    text = """
        vars: {width: 3, self: "min(width, 3)"}
        inputs: {x: "float[batch, 3]"}
        model:
          layers: {a: Linear(width), b: ReLU}
          forward: |
            y = a(x)
            for n in range(self):
              y = b(y)
            return y
    """
    assert agrees(text, width=6)


@pytest.mark.parametrize("width", [3, 6])
def test_a_call_that_other_values_reach_is_what_it_is_there(width: int) -> None:
    text = """
        vars: {width: 3}
        inputs: {x: "float[batch, 3]"}
        model:
          layers: {a: Linear(4)}
          forward: |
            y = a(x)
            return y if 1 < width <= 3 else sum([y, y * 2]) + max(width, 2)
    """
    assert arguments(made(text)) == {"width": 3}
    assert computes_alike(text, width=width)


@pytest.mark.parametrize("width", [3, 6])
def test_a_number_that_other_values_compute_is_stored_as_one(width: int) -> None:
    text = """
        vars: {width: 3}
        inputs: {x: "float[batch, 3]"}
        blocks:
          Scaled(of):
            buffers: {scale: {value: 2 * of}}
            forward: return scale * x
        model:
          - {if: width > 4, splice: [Scaled(width)]}
          - Linear(width)
    """
    assert computes_alike(text, width=width)
