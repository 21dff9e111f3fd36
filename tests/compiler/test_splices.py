"""Items that a splice puts into the list around it: positions, names, what is left out, and the source of it all."""

from __future__ import annotations

import json
import textwrap

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact, SpecError
from spec_schema.limits import Limits
from spec_schema.selectors import parse_selector
from spec_schema.source import SourceFile, Span
from tests.zoo.parity import stand_alone

HEAD = 'spec: 1\ninputs: {x: "float[batch, 4]"}\n'


def spec(body: str) -> str:
    return HEAD + textwrap.dedent(body)


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def assert_is(body: str, twin: nn.Module, **settings: object) -> Artifact:
    """Compare a spec with a hand-written twin: the same keys in the same order, the same outputs, emitted or built."""
    made = compiler.compile_text(spec(body), set=settings)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for model in (stand_alone(made), runtime.build(made, device="cpu")):
        assert list(shapes(model).items()) == list(shapes(twin).items())
        model.load_state_dict(twin.state_dict())
        assert torch.equal(model.eval()(x), twin.eval()(x))
    return made


STAGES = """
    vars: {stages: [[8, 1], [16, 2], [5, 0]], normed: true}
    model:
      - Tanh
      - repeat: stages
        as: [width, depth]
        splice:
          - repeat: depth
            splice:
              - Linear(width)
              - {if: normed, splice: [LayerNorm]}
              - ReLU
          - Linear(4)
      - Sigmoid
"""


def test_positions_are_those_of_a_flat_sequential() -> None:
    linear, norm = nn.Linear, nn.LayerNorm
    assert_is(
        STAGES,
        nn.Sequential(
            *[nn.Tanh(), linear(4, 8), norm(8), nn.ReLU(), linear(8, 4)],
            *[linear(4, 16), norm(16), nn.ReLU(), linear(16, 16), norm(16), nn.ReLU(), linear(16, 4)],
            *[linear(4, 4), nn.Sigmoid()],
        ),
    )


def test_a_condition_that_does_not_hold_leaves_its_items_out() -> None:
    linear = nn.Linear
    assert_is(
        STAGES,
        nn.Sequential(
            *[nn.Tanh(), linear(4, 8), nn.ReLU(), linear(8, 4)],
            *[linear(4, 16), nn.ReLU(), linear(16, 16), nn.ReLU(), linear(16, 4)],
            *[linear(4, 4), nn.Sigmoid()],
        ),
        normed=False,
    )


def test_instances_that_differ_in_what_they_splice() -> None:
    """One class serves them, with a condition in its constructor; later items have other positions in each."""

    def twin(*layers: nn.Module) -> nn.Sequential:
        return nn.Sequential(*layers, nn.Linear(4, 4))

    made = assert_is(
        """
        blocks:
          Part(depth, wide):
            - {repeat: depth, of: Linear(4)}
            - if: wide > 4
              splice: [Linear(wide), ReLU]
              else: Tanh
            - Linear(4)
        model: ["Part(2, 8)", "Part(0, 4)", "Part(1, 4)"]
        """,
        nn.Sequential(
            nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)),
            twin(nn.Tanh()),
            twin(nn.Linear(4, 4), nn.Tanh()),
        ),
    )
    assert made.source.count("class Part(") == 1
    assert "if wide > 4:" in made.source


def test_names_that_templates_make() -> None:
    made = compiler.compile_text(
        spec("""
        vars: {depths: [2, 1]}
        model:
          - stem: Linear(4)
          - repeat: depths
            as: depth
            splice:
              - block{index + 1}: {repeat: depth, of: Linear(6), name: "layer{index}"}
              - ReLU
              - if: index < len(depths) - 1
                splice:
                  - down{index + 1}: Linear(3)
          - head: Linear(2)
        """)
    )
    layers = ["stem", "block1.layer0", "block1.layer1", "down1", "block2.layer0", "head"]
    wanted = [f"{layer}.{name}" for layer in layers for name in ("weight", "bias")]
    assert list(stand_alone(made).state_dict()) == wanted
    assert list(runtime.build(made, device="cpu").state_dict()) == wanted
    assert [name for name, _ in stand_alone(made).named_children()] == [
        *("stem", "block1", "2", "down1", "block2", "5", "head")
    ]


@pytest.mark.parametrize("inner", ["of: Linear(width + index)", 'splice: ["Linear(width + index)"]'])
def test_sizes_that_differ_in_both_of_two_loops(inner: str) -> None:
    made = compiler.compile_text(
        spec(f"""
        model:
          - repeat: [[8, 2], [16, 3], [5, 1], [5, 2]]
            as: [width, depth]
            of: {{repeat: depth, {inner}}}
        """)
    )
    sizes = [(4, 8), (8, 9), (9, 16), (16, 17), (17, 18), (18, 5), (5, 5), (5, 6)]
    assert [tuple(p.shape) for p in stand_alone(made).parameters() if p.ndim > 1] == [s[::-1] for s in sizes]


def test_under_a_name_a_splice_is_the_layer() -> None:
    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
            self.tail = nn.Sequential(nn.Linear(4, 4))
            self.none = nn.Sequential()

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.body:
                x = layer(x) + 1
            out: Tensor = self.none(self.tail(x))
            return out

    assert_is(
        """
        model:
          layers:
            body: {repeat: 2, splice: [Linear(4), ReLU]}
            tail: {if: 1 < 2, splice: [Linear(4)]}
            none: {if: 1 > 2, splice: [Linear(4)]}
          forward: |
            for layer in body:
              x = layer(x) + 1
            return none(tail(x))
        """,
        Twin(),
    )


def test_a_residual_of_a_splice() -> None:
    class Twin(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self[3](self[2](self[1](self[0](x))))
            return out

    assert_is(
        "model: {residual: {repeat: 2, splice: [Linear(4), ReLU]}}",
        Twin(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()),
    )


def test_positions_behind_a_layer_that_runs_again() -> None:
    """It has a position, and is in the model once. Lists of other lengths are other classes."""
    made = compiler.compile_text(
        spec("""
        blocks:
          Part(depth):
            - a: Linear(4)
            - a
            - {repeat: depth, splice: [Linear(4), Tanh]}
            - {repeat: depth, of: Linear(4)}
        model: [Part(1), Part(2)]
        """)
    )
    model = stand_alone(made)
    keys = ["0.a", "0.2", "0.4", "1.a", "1.2", "1.4", "1.6", "1.7"]
    assert list(model.state_dict()) == [f"{key}.{name}" for key in keys for name in ("weight", "bias")]
    second, x = model.get_submodule("1"), torch.randn(2, 4)
    (a, *rest), y = second.children(), x
    for layer in (a, a, *rest):
        y = layer(y)
    assert torch.equal(second(x), y)


class Again(nn.Module):
    """A list that runs its activation before and behind a layer, if it has one."""

    def __init__(self, wide: bool) -> None:
        super().__init__()
        names = ["act", "1"] if wide else ["act"]
        self.body = nn.ModuleDict({name: nn.Linear(4, 4) if name == "1" else nn.Tanh() for name in names})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body["act"](x)
        return self.body["act"](self.body["1"](y) if "1" in self.body else y)  # type: ignore[no-any-return]


def test_lists_of_several_lengths_that_run_a_layer_again_inside_of_a_block() -> None:
    body = """
        blocks:
          Block(wide):
            layers: {body: [{act: Tanh}, {if: wide, splice: ["Linear(4)"]}, act]}
            forward: return body(x)
        model: ["Block(True)", "Block(False)"]
        """
    assert_is(body, nn.Sequential(Again(True), Again(False)))


def test_layers_as_the_rows_of_a_splice() -> None:
    made = assert_is(
        "model: [{repeat: [[ReLU, 3], [Tanh, 4]], as: [act, width], splice: [Linear(width), act]}]",
        nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4), nn.Tanh()),
    )
    assert "super().__init__(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4), nn.Tanh())" in made.source


def test_the_same_document_in_json() -> None:
    model = [{"repeat": 2, "splice": ["Linear(4)", {"if": "index > 0", "splice": ["ReLU"]}]}]
    document = {"spec": 1, "inputs": {"x": "float[batch, 4]"}, "model": model}
    one = compiler.compile_text(json.dumps(document), name="spec.json")
    two = compiler.compile_text(
        spec("""
        model:
          - repeat: 2
            splice: [Linear(4), {if: index > 0, splice: [ReLU]}]
        """)
    )
    assert one.source == two.source
    assert one.canonical == two.canonical


def test_selectors_and_rules_reach_what_is_spliced() -> None:
    made = compiler.compile_text(
        spec("""
        model:
          - repeat: 2
            splice: [Linear(4), Linear(4)]
        share: {pair: ["0.weight", "2.weight"]}
        init: [{"[1-3].bias": 0.5}]
        freeze: ["3"]
        """)
    )
    model = runtime.build(made, device="cpu")
    assert model[0].weight is model[2].weight  # type: ignore[index]
    assert torch.equal(model.get_parameter("3.bias"), torch.full((4,), 0.5))
    assert not model.get_parameter("3.weight").requires_grad
    file = SourceFile("x", "[1-2].bias")
    selected = made.plan.select(parse_selector("[1-2].bias", Span(file, 0, 10)))
    assert [row.name for row in selected] == ["1.bias", "2.bias"]


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ("{repeat: 100, splice: [{repeat: 100, splice: []}]}", "too-many-modules"),
        ("{repeat: 1000, splice: []}, {repeat: 1000, splice: []}", "too-many-modules"),
        ("{repeat: 2, splice: [fc: ReLU]}", "duplicate-name"),
        ("fc: ReLU, {if: 1 < 2, splice: [fc: ReLU]}", "duplicate-name"),
        ("{repeat: 2, splice: ReLU}", "wrong-type"),
        ("{repeat: 2, splice: [ReLU], of: ReLU}", "unknown-key"),
        ("{repeat: 2, splic: [ReLU]}", "unknown-key"),
        ("'fc{nothing}': ReLU", "unknown-name"),
        ("'fc{': ReLU", "bad-name"),
        ("'fc{1 / 2}': ReLU", "bad-name"),
        ('{repeat: 2, of: ReLU, name: "{index + 1}"}, Tanh, Tanh', "duplicate-name"),
    ],
)
def test_refused(item: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(spec(f"model: [{item}]"), limits=Limits(modules=1500))
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
