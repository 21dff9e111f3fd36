"""What is known of the names of a program: which count copies, which are rounded or bounded."""

from __future__ import annotations

import pytest

from compiler.emit.dependence import Dependence
from tests.compiler.emit.varied_program import SPEC, program


def test_counts_are_found_through_blocks_lists_and_loops() -> None:
    found = Dependence(program()).counting & {"width", "heads", "depths", "widths", "layers", "rate"}
    assert found == {"depths", "layers"}


@pytest.mark.parametrize(
    ("expression", "stepped"),
    [
        ("4 * n", False),
        ("n // 2 + 1", True),
        ("min(n, 3)", True),
        ("n if n > 2 else 3", True),
        ("n + 1", False),
    ],
)
def test_what_is_computed_by_steps(expression: str, stepped: bool) -> None:
    text = SPEC.replace("rate: 0.5", f'rate: 0.5, n: 6, m: "{expression}"')
    assert ("n" in Dependence(program(text)).stepping) is stepped


@pytest.mark.parametrize(
    "layer",
    [
        "'Linear(min(n, 4))'",
        "{residual: ['Linear(min(n, 4))', Linear(8)]}",
        "{repeat: 2, of: {residual: ['Linear(max(n, 4))', Linear(8)]}}",
    ],
)
def test_what_bounds_is_found_in_every_layer(layer: str) -> None:
    text = SPEC.replace("rate: 0.5", "rate: 0.5, n: 2").replace("- Linear(heads)", f"- {layer}")
    assert Dependence(program(text)).bounded & {"n", "width", "heads"} == {"n"}


@pytest.mark.parametrize(
    "block",
    [
        "{parameters: {w: {tensor: 'float[4 if n > 4 else n]', init: zeros}}, forward(x): 'return x + w.sum()'}",
        "{forward(x): 'return x[:, :min(n, 4)]'}",
    ],
)
def test_what_bounds_is_found_in_tensors_and_programs(block: str) -> None:
    text = SPEC.replace("rate: 0.5", "rate: 0.5, n: 2").replace("blocks:", f"blocks:\n      Part: {block}")
    found = Dependence(program(text.replace("Linear(heads)", "Part"))).bounded
    assert found & {"n", "width", "heads"} == {"n"}


def test_copies_in_a_block_in_place_are_counted() -> None:
    text = SPEC.replace("- Linear(heads)", '- {residual: [{repeat: heads, of: "Linear(8)"}]}')
    assert "heads" in Dependence(program(text)).counting


def test_what_programs_count_to_is_found_in_blocks_that_are_handed_on() -> None:
    blocks = """
      Pick(times, chosen):
        forward: |
          for i in range(times):
            x = x + topk(x, chosen)[0].sum(-1, keepdim=True)
          return x
      Hold(inner): [inner, ReLU]
    """
    text = SPEC.replace("rate: 0.5", "rate: 0.5, n: 2, k: 3").replace("blocks:", f"blocks:{blocks}")
    text = text.replace("- Linear(heads)", "- Hold(Pick(n, chosen=k))\n      - Linear(heads)")
    assert {"n", "k"} <= Dependence(program(text)).counting
