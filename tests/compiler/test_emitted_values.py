"""Compile-time values in emitted source: variables of a block, `inf`, defaults, and what differs in the first copy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compiler
import runtime
from compiler import Artifact
from tests.zoo.parity import stand_alone


def emitted(text: str) -> tuple[Artifact, nn.Module]:
    made = compiler.compile_text(text)
    return made, stand_alone(made)


def test_a_variable_that_another_one_reads_and_the_program_too() -> None:
    _, model = emitted("""
spec: 1
inputs: {x: "float[batch, 4]"}
blocks:
  Sum(base):
    vars: {twice: 2 * base, more: twice + 1, most: more * twice}
    forward: |
      return x + twice + most
model: [Sum(3), Sum(5)]
""")
    assert torch.equal(model(torch.zeros(1, 4)), torch.full((1, 4), 6.0 + 42 + 10 + 110))


def test_infinity_with_its_sign() -> None:
    made, model = emitted("""
spec: 1
inputs: {x: "float[batch, 4]"}
blocks:
  Hide(value=-inf):
    forward: |
      return x.masked_fill(x < 0, value).masked_fill(x > 1, -inf)
model: [Hide, Hide(inf)]
""")
    given = torch.tensor([[-1.0, 0.0, 1.0, 2.0]])
    first, second = model.children()
    assert torch.equal(first(given), torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]]))
    assert torch.equal(second(torch.tensor([-1.0, 0.0])), torch.tensor([torch.inf, 0.0]))
    assert "value: float = -torch.inf" in made.source


def test_a_default_of_none_is_in_the_annotation() -> None:
    made, _ = emitted("""
spec: 1
inputs: {x: "float[batch, 4]"}
blocks:
  Scale(factor=None):
    forward: |
      return x if factor is None else x * factor
model: [Scale(2.0), Scale(3.0)]
""")
    assert "factor: float | None = None" in made.source


@pytest.mark.parametrize(("written", "parameters"), [("index == 0", 2), ("index > 0", 4)])
def test_the_first_copy_differs_by_a_truth(written: str, parameters: int) -> None:
    made, model = emitted(f"""
spec: 1
inputs: {{x: "float[batch, 4]"}}
blocks:
  Layer(flag):
    layers: {{fc: Linear(4)}}
    forward: |
      return fc(x) if flag else x
  Stack(layer):
    - {{repeat: 3, of: layer({written})}}
model: [Stack(Layer)]
""")
    assert f"Layer(flag={written}) for index in range(3)" in made.source
    assert len(list(model.parameters())) == parameters


READS = """
spec: 1
inputs: {x: "int64[batch]"}
model:
  layers:
    words: LAYER
    never: Embedding(5, 8)
  forward: |
    table = words.weight
    return table[x] + words(PLACE)
"""


def test_a_layer_whose_sizes_are_written_is_read_before_its_first_call() -> None:
    _, model = emitted(READS.replace("LAYER", "Embedding(5, 8)").replace("PLACE", "x"))
    assert list(model.state_dict()) == ["words.weight"]
    x = torch.tensor([1, 3])
    assert torch.equal(model(x), 2 * model.get_parameter("words.weight")[x])
    _, model = emitted(READS.replace("LAYER", "Linear(8, in_features=8)").replace("PLACE", "table[x]"))
    assert list(model.state_dict()) == ["words.weight", "words.bias"]


def test_one_whose_sizes_follow_from_its_input_is_not() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        emitted(READS.replace("LAYER", "Linear(8)").replace("PLACE", "table[x]"))
    (problem,) = caught.value.diagnostics
    assert (problem.code, "Linear(..., in_features=...)" in str(problem.help)) == ("not-yet-shaped", True)


def test_pi_and_infinity_in_an_initialiser() -> None:
    made = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 4]"}
model:
  parameters:
    angle: {tensor: "float[4]", init: arange(4) * pi / 2}
    mask: {tensor: "float[2]", init: "where(arange(2) > 0, -inf, 0.0)"}
  forward: |
    return x + angle, mask
""")
    model = runtime.build(made, device="cpu")
    assert torch.equal(model.get_parameter("angle"), torch.arange(4) * torch.pi / 2)
    assert torch.equal(model.get_parameter("mask"), torch.tensor([0.0, -torch.inf]))


@pytest.mark.parametrize(
    ("loop", "written"),
    [
        (
            'repeat: [[0, 1], [1, 2, 3], [0]], as: chosen, of: "Linear(len(chosen))"',
            "for chosen, in_features in [([0, 1], 4), ([1, 2, 3], 2), ([0], 3)]",
        ),
        (
            'repeat: "[[i + 2, i > 0] for i in range(n)]", as: [width, bias], of: "Linear(width, bias=bias)"',
            "for (width, bias), in_features in zip(",
        ),
    ],
    ids=["one name for a row that is a list", "rows that are computed"],
)
def test_rows_of_a_loop_beside_inferred_sizes(loop: str, written: str) -> None:
    text = f'blocks: {{"Rows(n)": [{{{loop}}}]}}, model: [Rows(3)]'
    made, model = emitted(f'{{spec: 1, inputs: {{x: "float[batch, 4]"}}, {text}}}')
    assert written in " ".join(made.source.split())
    assert model(torch.zeros(2, 4)).shape == made.inferred.output.shape


HIDING = {
    **dict.fromkeys(("str", "list", "zip", "enumerate", "range"), "4"),
    **{"len": "len(range(4))", "min": "min(9, 4)", "sum": "sum(range(3)) + 1", "int": "int(4.0)"},
    **{"abs": "abs(4)", "round": "round(4.1)"},
}
"""Names of arguments, layers and rows, each with an expression that calls the builtin of that name."""


@pytest.mark.parametrize("name", HIDING)
def test_what_a_constructor_binds_hides_no_builtin(name: str) -> None:
    linear, copies = f'"Linear({HIDING[name]})"', f'{{repeat: 2, of: "Linear({name})"}}'
    blocks = {
        f"A({name})": f"[{copies}, fc: {linear}]",
        "B(n)": f'{{layers: {{{name}: [{{repeat: n, splice: ["fc{{index}}": {linear}, Tanh]}}]}}, '
        f'"forward(x)": "return {name}(x)"}}',
        "C(n)": f'[{{repeat: [[4, n], [4, n]], as: [{name}, n], of: "Linear({name})"}}, fc: {linear}]',
    }
    written = ", ".join(f'"{title}": {body}' for title, body in blocks.items())
    text = f'{{spec: 1, inputs: {{x: "float[batch, 4]"}}, blocks: {{{written}}}, model: [A(4), B(2), B(3), C(2)]}}'
    _, model = emitted(text)
    assert model(torch.zeros(2, 4)).shape == (2, 4)


SCALES = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Scale:
    parameters: {scale: {tensor: "float32[4]", init: ones}}
    forward(x): return x * scale
model:
  - h: {repeat: 3, of: Scale}
init: [{"RULE": zeros}]
"""


@pytest.mark.parametrize(
    ("selector", "zero"), [("h[0].scale", [0]), ("h[1].scale", [1]), ("h.*.scale", [0, 1, 2])]
)
def test_first_values_are_written_where_all_places_have_them(selector: str, zero: list[int]) -> None:
    made, model = emitted(SCALES.replace("RULE", selector))
    assert ("reset_parameters" in made.source) == (len(zero) < 3)
    for at in range(3):
        assert torch.equal(model.get_parameter(f"h.{at}.scale"), torch.full((4,), float(at not in zero)))
