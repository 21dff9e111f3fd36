"""Where sizes come from: every line from the dimension back to the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
from compiler.artifact import Artifact
from compiler.rules.provenance import Origin, Provenance

SPEC = """\
spec: 1
vars: {dim: 8, widths: [4, 6]}
presets:
  wide: {dim: 32}
inputs: {x: "float[batch, 5]"}
blocks:
  MLP(dim, make=ReLU, ratio=2):
    vars: {hidden: ratio * dim}
    layers:
      up: Linear(hidden)
      act: make
      down: Linear(dim)
  Scale(size):
    parameters:
      gain: {tensor: "float64[size + 1, 3]", init: ones}
    forward: |
      return x * gain.sum()
model:
  - stem: Linear(dim)
  - residual: ["MLP(dim, ratio=3)", LayerNorm]
  - rows: {repeat: widths, as: width, of: Linear(width)}
  - {repeat: 2, of: "MLP(dim + index, PReLU(num_parameters=1))"}
  - if: dim > 4
    then: {layer: Linear, out_features: 10}
  - parallel: {left: Scale(dim), right: Scale(2)}
    combine: add
"""


def origins(artifact: Artifact, name: str) -> list[list[str]]:
    """Return, for each dimension, `text @line` of what decides it."""
    found = Provenance(artifact.inferred).sizes(artifact.plan.table.by_name[name])
    row = artifact.plan.by_name[name]
    assert [size.value for size in found] == list(row.shape)
    return [[_shown(origin) for origin in size.origins] for size in found]


def _shown(origin: Origin) -> str:
    return f"{origin.text} @{origin.place.line if origin.place else None}"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return compiler.compile_text(SPEC)


INFERRED = "in_features, inferred"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stem.weight", [["out_features = dim @19", "dim = 8 @2"], [f"{INFERRED} @19"]]),
        (
            "1.0.up.bias",
            [
                [
                    "out_features = hidden @10",
                    "hidden = ratio * dim @8",
                    "dim of MLP = dim @20",
                    "dim = 8 @2",
                    "ratio of MLP = 3 @20",
                ]
            ],
        ),
        (
            "1.0.down.weight",
            [["out_features = dim @12", "dim of MLP = dim @20", "dim = 8 @2"], [f"{INFERRED} @12"]],
        ),
        ("1.1.weight", [["normalized_shape, inferred @20"]]),
        ("rows.1.bias", [["out_features = width @21", "width = 6 @21", "widths = [4, 6] @2"]]),
        (
            "4.up.bias",
            [
                [
                    "out_features = hidden @10",
                    "hidden = ratio * dim @8",
                    "dim of MLP = dim + index @22",
                    "dim = 8 @2",
                    "index = 1 @22",
                    "ratio of MLP = 2, the default @7",
                ]
            ],
        ),
        ("4.act.weight", [["num_parameters = 1 @22"]]),
        ("5.bias", [["out_features = 10 @24"]]),
        ("6.left.gain", [["size + 1 @15", "size of Scale = dim @25", "dim = 8 @2"], ["3 @15"]]),
        ("6.right.gain", [["size + 1 @15", "size of Scale = 2 @25"], ["3 @15"]]),
    ],
)
def test_every_line_on_the_way(artifact: Artifact, name: str, expected: list[list[str]]) -> None:
    assert origins(artifact, name) == expected


def test_the_caller_s_value_and_a_preset() -> None:
    given = compiler.compile_text(SPEC, set={"dim": 16})
    size = Provenance(given.inferred).sizes(given.plan.table.by_name["stem.bias"])[0]
    place = size.origins[-1].place
    assert size.value == 16
    assert place is not None
    assert str(place) == "--set dim:1:1"
    assert origins(compiler.compile_text(SPEC, preset="wide"), "stem.bias")[0][-1] == "dim = 32 @4"


def test_a_dimension_of_several_arguments() -> None:
    text = """\
spec: 1
inputs: {x: "float[batch, time, 6]"}
model:
  layers:
    attention: MultiheadAttention(num_heads=2, batch_first=True)
    gru: GRU(hidden_size=4, num_layers=2, bidirectional=True)
  forward: |
    return gru(attention(x, x, x)[0])[0]
"""
    artifact = compiler.compile_text(text)
    assert origins(artifact, "attention.in_proj_weight") == [
        ["embed_dim, inferred @8"],
        ["embed_dim, inferred @8"],
    ]
    assert origins(artifact, "gru.weight_hh_l1_reverse") == [["hidden_size = 4 @6"], ["hidden_size = 4 @6"]]
    assert origins(artifact, "gru.weight_ih_l1") == [["hidden_size = 4 @6"], ["hidden_size = 4 @6"]]


def test_the_dtype_and_its_line() -> None:
    artifact = compiler.compile_text(SPEC + "placement: [{/: {device: cpu, dtype: float64}}]\n")
    origins, table = Provenance(artifact.inferred), artifact.plan.table.by_name
    assert str(artifact.inferred.dtype) == "torch.float64"
    assert _shown(origins.dtype(table["stem.weight"])) == "float64 @27"
    assert _shown(origins.dtype(table["6.left.gain"])) == "float64 @15"
    plain = compiler.compile_text(SPEC.replace("LayerNorm", "BatchNorm1d"))
    counted = plain.plan.table.by_name["1.1.num_batches_tracked"]
    assert _shown(Provenance(plain.inferred).dtype(counted)) == "int64, as BatchNorm1d makes it @20"
    assert _shown(Provenance(plain.inferred).dtype(plain.plan.table.by_name["stem.bias"])) == "float32 @None"


def test_gpt2_in_the_zoo() -> None:
    path = Path("specs/zoo/gpt2.yaml")
    artifact = compiler.compile(path)
    lines = path.read_text("utf-8").splitlines()
    found = Provenance(artifact.inferred)
    row = artifact.plan.by_name["h.3.attn.proj.weight"]
    decided = [(decision, decision.place) for decision in row.decisions if decision.won]
    assert [(d.section, lines[p.line - 1].strip()) for d, p in decided if p] == [
        ("init", "- h.*.*.proj.weight: normal(std=0.02 / sqrt(2 * depth))")
    ]
    assert row.initialisation is not None
    (depth,) = found.names(row.initialisation)
    out, into = found.sizes(row.source)
    written = [depth.place, *[origin.place for origin in (*out.origins, *into.origins)]]
    assert [lines[place.line - 1].strip() for place in written if place] == [
        "vars: {vocab: 50257, context: 1024, dim: 768, depth: 12, heads: 12}",
        "proj: Linear(dim)",
        "attn: Attention(dim, heads)",
        'h: {repeat: depth, of: "Block(dim, heads)"}',
        "vars: {vocab: 50257, context: 1024, dim: 768, depth: 12, heads: 12}",
        "return proj(rearrange(y, 'b h t d -> b t (h d)'))",
    ]
