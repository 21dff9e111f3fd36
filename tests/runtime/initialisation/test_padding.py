"""The row of `padding_idx` is zero at first, whatever rule initialises the weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import compiler
import runtime

HEAD = 'spec: 1\ninputs: {tokens: "int64[2, 3]"}\n'


def weight(layer: str, rule: str, more: str = "", **options: object) -> Tensor:
    text = f"{HEAD}model:\n  - embedding: {layer}\n{more}"
    text += f'init: [{{embedding.weight: "{rule}"}}]\n' if rule else ""
    artifact = compiler.compile_text(text)
    return runtime.build(artifact, device="cpu", **options).get_parameter("embedding.weight")  # type: ignore[arg-type]


def zero_rows(found: Tensor) -> list[int]:
    return [number for number, row in enumerate(found) if not row.any()]


RULES = [
    "",
    "normal(std=0.02)",
    "0.5",
    "uniform(1, 2) * w + 1",
    "mixture([0.5, ones], [0.5, normal])",
    "broadcast_to(arange(1, embedding_dim + 1), shape)",
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("layer", "row"),
    [
        ("Embedding(7, 4, padding_idx=2)", 2),
        ("Embedding(7, 4, padding_idx=0)", 0),
        ("Embedding(7, 4, 3)", 3),
        ("Embedding(7, 4, padding_idx=-2)", 5),
        ("EmbeddingBag(7, 4, padding_idx=-1)", 6),
    ],
)
def test_it_is_zero_under_any_rule(layer: str, row: int, rule: str) -> None:
    assert zero_rows(weight(layer, rule)) == [row]


@pytest.mark.parametrize("rule", RULES[1:])
def test_the_other_rows_are_what_they_are_without_it(rule: str) -> None:
    with_row, without = weight("Embedding(7, 4, padding_idx=2)", rule), weight("Embedding(7, 4)", rule)
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(with_row[others], without[others])
    assert zero_rows(without) == []


def test_in_half_precision() -> None:
    half = "placement: [{/: {dtype: bfloat16}}]\n"
    assert zero_rows(weight("Embedding(7, 4, padding_idx=2)", "normal", half)) == [2]


def test_a_checkpoint_keeps_its_row(tmp_path: Path) -> None:
    save_file({"embedding.weight": torch.ones(7, 4)}, tmp_path / "file.safetensors")
    layer = "Embedding(7, 4, padding_idx=2)"
    for rule in ("checkpoint('file.safetensors')", "2 * checkpoint('file.safetensors')"):
        assert zero_rows(weight(layer, rule, folder=tmp_path)) == []


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("[one.weight, head.weight]", [1]),
        ("[head.weight, one.weight]", [1]),
        ("[head.weight, other.weight, one.weight]", [1, 4]),
    ],
)
@pytest.mark.parametrize("init", ["", "init: [Linear.weight: normal, Embedding.weight: normal]\n"])
def test_a_shared_weight_has_the_rows_of_all_its_places(share: str, expected: list[int], init: str) -> None:
    text = f"""{HEAD}model:
  layers:
    one: Embedding(5, 4, padding_idx=1)
    other: Embedding(5, 4, padding_idx=-1)
    head: Linear(5, bias=False)
  forward: return head(one(tokens) + other(tokens))
share: {{words: {share}}}
{init}"""
    artifact = compiler.compile_text(text)
    found = runtime.build(artifact, device="cpu").get_parameter("head.weight")
    assert zero_rows(found) == expected
    said = [each for each in artifact.plan.by_name["head.weight"].decisions if each.section == "padding"]
    assert [int(each.text.split()[1]) for each in sorted(said, key=lambda each: each.text)] == expected
    assert {each.place.line for each in said if each.place} <= {5, 6}


PLUGIN = """
from torch import Tensor, nn
from compiler.plugins import layer

@layer
class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4, padding_idx=3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.table(tokens)
"""


def test_inside_a_layer_of_a_plugin(tmp_path: Path) -> None:
    path = tmp_path / "token_tables.py"
    path.write_text(PLUGIN)
    text = f"{HEAD}model: [Tokens]\ninit: [Embedding.weight: ones]\n"
    artifact = compiler.compile_text(text, plugins=[str(path)])
    assert zero_rows(runtime.build(artifact, device="cpu").get_parameter("0.table.weight")) == [3]


def test_a_part_that_is_drawn_alone_has_it() -> None:
    text = f"{HEAD}model: ['Embedding(7, 4, padding_idx=2)']\ninit: [Embedding.weight: ones]\n"
    values = runtime.initial_values(compiler.compile_text(text))
    assert zero_rows(values["0.weight"]) == [2]
