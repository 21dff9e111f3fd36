"""What a summary holds: shapes, parameters and operations, against what hand-written modules say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import compiler
import runtime
from runtime.summary import EitherWay, Node, Summary, TensorForm, collapse, summarise

GPT2 = Path("specs/zoo/gpt2.yaml")
RESNET = Path("specs/zoo/resnet.yaml")


def summary(text: str) -> Summary:
    return summarise(compiler.compile_text(text))


def by_path(node: Node) -> dict[str, Node]:
    return {node.path: node, **{path: n for child in node.children for path, n in by_path(child).items()}}


def test_parameters_and_bytes_are_those_of_the_built_model() -> None:
    artifact = compiler.compile(GPT2, preset="tiny")
    model = runtime.build(artifact)
    found = summarise(artifact)
    parameters = list(model.parameters())
    assert found.parameters == found.root.parameters == sum(each.numel() for each in parameters)
    assert found.bytes == sum(each.numel() * each.element_size() for each in [*parameters, *model.buffers()])
    assert found.shared == (("wte.weight", ("head.weight",)),)
    nodes = by_path(found.root)
    assert nodes["head"].parameters == 0
    assert nodes["head"].shared == (("weight", "wte.weight"),)
    assert nodes["wte"].parameters == 100 * 32


@pytest.mark.parametrize("spec", [GPT2, RESNET])
def test_operations_are_those_of_a_real_forward(spec: Path) -> None:
    artifact = compiler.compile(spec, preset="tiny")
    model = runtime.build(artifact).eval()
    inputs = [torch.zeros_like(like, device="cpu") for like in artifact.inferred.inputs.values()]
    # torch does not count the fused attention of the CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*inputs)
    found = summarise(artifact)
    assert found.flops == counter.get_total_flops() > 0
    assert found.flops == sum(child.flops * len(child.copies) for child in found.root.children)


def test_shapes_have_the_names_of_symbolic_dimensions() -> None:
    found = summary(
        'spec: 1\ninputs: {x: "float32[batch, time, 6]"}\nmodel:\n  - Linear(3)\n  - flatten(1)\n'
    )
    assert found.inputs == {"x": TensorForm("float32", "[batch, time, 6]")}
    assert found.root.children[0].output == TensorForm("float32", "[batch, time, 3]")
    assert found.root.output == TensorForm("float32", "[batch, 3*time]")


def test_sizes_are_shown_where_torch_cannot_follow_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.summary.SYMBOLIC_SECONDS", -1.0)
    model = "model:\n  layers: {fc: Linear(3)}\n  forward: return pad(fc(x), [1, 0])\n"  # no rule is there for `pad`
    found = summary(f'spec: 1\ninputs: {{x: "float32[batch, 6]"}}\n{model}')
    assert found.root.output == TensorForm("float32", "[2, 4]")


def test_nested_outputs_and_other_dtypes() -> None:
    found = summary(
        'spec: 1\ninputs: {x: "float32[5, 2, 4]"}\nmodel:\n  layers: {lstm: LSTM(3)}\n'
        "  forward: |\n    y, state = lstm(x)\n    return {'best': y.argmax(-1), 'state': state}\n"
    )
    state = (TensorForm("float32", "[1, 2, 3]"), TensorForm("float32", "[1, 2, 3]"))
    assert found.root.output == {"best": TensorForm("int64", "[5, 2]"), "state": state}
    assert by_path(found.root)["lstm"].output == (TensorForm("float32", "[5, 2, 3]"), state)


def test_what_torch_puts_inside_its_layers_is_not_shown() -> None:
    found = summary('spec: 1\ninputs: {x: "float32[5, 2, 8]"}\nmodel:\n  - TransformerEncoderLayer(2)\n')
    (layer,) = found.root.children
    assert layer.children == ()
    assert layer.parameters == sum(each.numel() for each in nn.TransformerEncoderLayer(8, 2).parameters())


LOOP = """
spec: 1
inputs: {x: "float32[batch, 20]"}
model:
  layers: {fc: Linear(20)}
  forward: |
    x = fc(x)
    while x.abs().sum() > 1 and x.mean() < 9:
      x = fc(x)
    if x.sum() > 0:
      x = fc(x)
    return x
"""


def test_a_loop_over_data_counts_once_and_a_choice_is_taken() -> None:
    found = summary(LOOP)
    assert found.flops == 3 * 2 * 2 * 20 * 20
    assert found.root.output == TensorForm("float32", "[batch, 20]")


def test_a_condition_is_true_once_for_each_call_and_place() -> None:
    def ask(tensor: torch.Tensor) -> int:
        count = 0
        while tensor > 0:
            while tensor > 1:
                count += 1
            count += 10
        return count

    with EitherWay():
        tensor = torch.empty((), device="meta")
        assert [ask(tensor), ask(tensor)] == [11, 11]


def test_frozen_layers() -> None:
    found = summary(
        'spec: 1\ninputs: {x: "float32[2, 3]"}\nmodel:\n  - a: Linear(3)\n  - b: Linear(3)\n  - c: Linear(3)\n'
        "freeze: [a, b.bias]\n"
    )
    nodes = by_path(found.root)
    assert [nodes[name].frozen for name in ("a", "b", "c", "")] == [True, False, False, False]
    assert found.trainable == 9 + 12
    assert nodes["b"].trainable == 9


def test_equal_blocks_in_a_row_are_one_node() -> None:
    artifact = compiler.compile(GPT2, preset="tiny", set={"depth": 5})
    (h,) = (child for child in summarise(artifact).root.children if child.path == "h")
    assert [child.copies for child in h.children] == [tuple(f"h.{n}" for n in range(5))]
    assert h.parameters == 5 * h.children[0].parameters


def test_a_block_that_differs_in_anything_but_its_name_stays_apart() -> None:
    def node(path: str, parameters: int = 1, children: tuple[Node, ...] = ()) -> Node:
        return Node(path, "Block", None, parameters, parameters, 0, (), children)

    inner, other = node("0.fc"), node("2.fc", 2)
    row = [node("0", 1, (inner,)), node("1", 1, (inner,)), node("2", 1, (other,)), node("3", 1, (inner,))]
    assert [found.copies for found in collapse(row)] == [("0", "1"), ("2",), ("3",)]


def test_nothing_is_allocated() -> None:
    large = "spec: 1\ninputs: {x: 'float32[1, 100000]'}\nmodel:\n  - Linear(10000000)\n"
    found = summary(large)
    assert found.bytes == 4 * (10**5 * 10**7 + 10**7)
