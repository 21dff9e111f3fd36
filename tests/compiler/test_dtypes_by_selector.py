"""Dtypes of parts of a model, by selector: norms, routers and tables in float32 beside bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.cli.explain import print_rows
from compiler.cli.outcome import Format
from compiler.cli.selection import select
from runtime.summary import summarise
from tests.emitted_file import run_file

TEXT = """
spec: 1
vars: {depth: 3}
inputs: {x: "float[batch, time, 16]"}
blocks:
  Rope(dim):
    buffers:
      inv_freq: {value: "1 / 10000 ** (arange(0, dim, 2) / dim)", persistent: false}
    forward: |
      angles = outer(arange(x.shape[1]), inv_freq)
      return x * cat([angles, angles], dim=-1).cos().to(x.dtype)
  Norm:
    layers: {inner: LayerNorm}
    parameters: {shift: {tensor: "float[x.shape[-1]]", init: zeros}}
    forward: return (inner(x.to(shift.dtype)) + shift).to(x.dtype)
  Router(experts):
    layers: {gate: Linear(experts)}
    parameters: {scale: {tensor: "float[]", init: ones}}
    forward: return softmax(gate(x.to(scale.dtype)) * scale, dim=-1).to(x.dtype)
  Block(dim):
    layers: {rope: Rope(dim), norm: Norm, fc: Linear(dim), router: Router(dim)}
    forward: |
      x = norm(rope(x))
      return fc(x) * router(x)
model:
  - h: {repeat: depth, of: Block(16)}
  - head: Linear(4)
placement:
"""


def compiled(*rules: str, text: str = TEXT) -> Artifact:
    return compiler.compile_text(text + "".join(f"  - {rule}\n" for rule in rules))


def refused(*rules: str, text: str = TEXT) -> list[str]:
    with pytest.raises(SpecError) as caught:
        compiled(*rules, text=text)
    return [f"{each.span}: {each.code}: {each.message}" for each in caught.value.diagnostics]


def in_dtype(artifact: Artifact, dtype: str) -> list[str]:
    """Return what is of a dtype in the plan, which is what the built model and its file have."""
    wanted = {row.name: row.dtype for row in artifact.plan.rows}
    model, alone = runtime.build(artifact), run_file(artifact.source, artifact.name)
    assert dtypes(model) == dtypes(alone) == wanted
    return [name for name, found in wanted.items() if found == getattr(torch, dtype)]


def dtypes(model: nn.Module) -> dict[str, torch.dtype]:
    return {name: tensor.dtype for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def test_parts_by_type() -> None:
    artifact = compiled("/: {dtype: bfloat16}", "'{Norm,Router}': {dtype: float32}")
    single = in_dtype(artifact, "float32")
    assert {name.partition(".")[2].partition(".")[2] for name in single} == {
        *(
            "norm.inner.weight",
            "norm.inner.bias",
            "norm.shift",
            "router.gate.weight",
            "router.gate.bias",
            "router.scale",
        ),
        "rope.inv_freq",
    }
    assert {name.split(".")[-2] for name in in_dtype(artifact, "bfloat16")} == {"fc", "head"}
    x = torch.rand(2, 5, 16, dtype=torch.bfloat16)
    assert runtime.build(artifact)(x).dtype == artifact.inferred.output.dtype == torch.bfloat16


def test_the_last_rule_decides() -> None:
    rules = ("/: {dtype: bfloat16}", "Norm: {dtype: float64}", "'**.norm': {dtype: float32}")
    assert len(in_dtype(compiled(*rules), "float64")) == 0
    assert len(in_dtype(compiled(*rules[::-1]), "float32")) == 3  # what is computed


def test_copies_by_index() -> None:
    artifact = compiled(
        "/: {dtype: bfloat16}", "'h[1:].norm': {dtype: float32}", "'h[-1].norm': {dtype: float64}"
    )
    assert in_dtype(artifact, "float64") == [
        *("h.2.norm.shift", "h.2.norm.inner.weight", "h.2.norm.inner.bias"),
    ]
    assert "h.1.norm.shift" in in_dtype(artifact, "float32")
    assert "h.0.norm.shift" in in_dtype(artifact, "bfloat16")
    assert refused("'h[3].norm': {dtype: float64}") == [
        "spec.yaml:29:8: no-such-item: `h` has 3 items, and no `[3]`"
    ]


def test_a_declared_dtype_and_a_formula_stay() -> None:
    text = """
spec: 1
inputs: {x: "float[batch, 4]"}
model:
  parameters: {a: {tensor: "float64[4]", init: ones}, b: {tensor: "float[4]", init: ones}}
  buffers:
    c: {value: arange(4) / 4}
    d: {tensor: "float[4]", value: arange(4) / 4}
    e: {value: arange(4)}
  forward: return (x * a * b * c * d + e).to(x.dtype)
placement:
"""
    artifact = compiled("/: {dtype: bfloat16}", text=text)
    found = {row.name: str(row.dtype) for row in artifact.plan.rows}
    assert found == {
        **{"a": "torch.float64", "b": "torch.bfloat16", "c": "torch.float32", "d": "torch.bfloat16"},
        "e": "torch.int64",
    }
    assert in_dtype(artifact, "bfloat16") == ["b", "d"]
    assert refused("c: {dtype: bfloat16}", "a: {dtype: float32}", text=text) == [
        "spec.yaml:12:16: fixed-dtype: `c` has the dtype of its formula, float32",
        "spec.yaml:13:16: fixed-dtype: `a` is declared float64",
    ]
    compiled("c: {dtype: float32}", text=text)  # says what is so


def test_a_rule_for_what_keeps_its_dtype() -> None:
    text = "spec: 1\ninputs: {x: 'float[batch, 4]'}\nmodel: [norm: BatchNorm1d]\nplacement:\n"
    assert refused("norm.num_batches_tracked: {dtype: bfloat16}", text=text) == [
        "spec.yaml:5:39: fixed-dtype: `norm.num_batches_tracked` is made int64 by its layer"
    ]
    assert len(in_dtype(compiled("/: {dtype: float64}", text=text), "float64")) == 4


def test_a_layer_is_of_one_dtype() -> None:
    assert refused("/: {dtype: bfloat16}", "head.weight: {dtype: float32}") == [
        "spec.yaml:30:26: partial-dtype: this `Linear` would have `weight` in float32 and `bias` in bfloat16"
    ]
    names = ("head.weight: {dtype: float64}", "head.bias: {dtype: float64}")
    text = TEXT.replace("- head: Linear(4)", "- to(float64)\n  - head: Linear(4)")
    assert in_dtype(compiled(*names, text=text), "float64") == ["head.weight", "head.bias"]


def test_inputs_follow_the_whole_model_alone() -> None:
    (found,) = refused("head: {dtype: bfloat16}")
    assert found.endswith("dtype-mismatch: `Linear` takes bfloat16, and gets float32")
    text = TEXT.replace("- head: Linear(4)", "- to(bfloat16)\n  - head: Linear(4)")
    assert len(in_dtype(compiled("head: {dtype: bfloat16}", text=text), "bfloat16")) == 2


def test_names_of_one_tensor_are_of_one_dtype() -> None:
    shared = TEXT.replace("Linear(4)", "Linear(16)").replace(
        "placement:\n", "share: {w: ['h[-1].fc', head]}\nplacement:\n"
    )
    text = shared.replace("- head:", "- to(float32)\n  - head:")
    (found,) = refused("/: {dtype: bfloat16}", "head: {dtype: float32}", text=text)
    assert "share-shapes: `h.2.fc.weight` and `head.weight` cannot be one tensor" in found


def test_layers_in_layers_and_layers_without_the_argument() -> None:
    text = """
spec: 1
inputs: {x: "float[batch, time, 16]"}
model:
  - to(float64)
  - encoder:
      layer: TransformerEncoder
      encoder_layer: "${TransformerEncoderLayer(nhead=2)}"
      num_layers: 2
      enable_nested_tensor: False
  - to(float32)
  - head: Linear(2)
placement:
"""
    artifact = compiled("encoder: {dtype: float64}", text=text)
    assert len(in_dtype(artifact, "float64")) == len(artifact.plan.rows) - 2
    partial = ("encoder: {dtype: float64}", "'encoder.layers[0]': {dtype: float32}")
    (found,) = refused(*partial, text=text)
    assert "partial-dtype" in found


def test_first_values_are_those_of_float32_rounded() -> None:
    single = runtime.build(compiled("/: cpu"), seed=3).state_dict()
    mixed = runtime.build(compiled("/: {dtype: bfloat16}", "Norm: {dtype: float32}"), seed=3).state_dict()
    for name, value in mixed.items():
        assert torch.equal(value, single[name].to(value.dtype)), name


def test_what_is_said_of_a_dtype(capsys: pytest.CaptureFixture[str]) -> None:
    artifact = compiled("/: {dtype: bfloat16}", "Norm: {dtype: float32}")
    print_rows(artifact, select(artifact, "h.0.**.{shift,inv_freq}"), Format.short)
    found = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines() if " dtype" in line]
    assert found == [
        "dtype: float32, as its value has it (spec.yaml:8)",
        "dtype /: bfloat16 (spec.yaml:29) overruled",
        "dtype Norm: float32 (spec.yaml:30) decides",
    ]


def test_a_summary_has_the_dtypes_that_values_have() -> None:
    summary = summarise(compiled("/: {dtype: bfloat16}", "Norm: {dtype: float32}"))
    block = summary.root.children[0].children[0]
    inner = next(child for child in block.children if child.name == "norm").children[0]
    assert (str(block.output), str(inner.output)) == ("bfloat16[batch, time, 16]", "float32[batch, time, 16]")
