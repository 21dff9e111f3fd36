"""One call of an operation or a layer takes no longer than the clock lets it, however large its numbers are."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import compiler
from compiler.catalogue.operation_table import COSTLY, FUNCTIONS, MOST_TENSORS
from compiler.catalogue.operations import Excess, excess, signature
from compiler.infer import infer
from compiler.infer.on_meta import meta_device
from compiler.rule_records import PlacementRule
from compiler.rules.placement import sites
from spec_schema.clock import Clock
from spec_schema.selectors import parse_selector

HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'
RNN = 'spec: 1\ninputs: {x: "float[time, batch, 8]"}\nmodel:\n'


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_argument_may_have_its_limit_and_no_more(name: str) -> None:
    assert name in FUNCTIONS
    known = {argument for overload in signature(name).overloads for argument in overload.parameters}
    for argument, limit in COSTLY[name].items():
        assert argument in known
        assert excess(name, [torch.ones(2)], {argument: limit}) is None
        assert excess(name, [torch.ones(2)], {argument: limit + 1}) == Excess(argument, limit + 1, limit)


def test_a_list_of_sections_is_no_number_of_them() -> None:
    assert excess("tensor_split", [torch.ones(8), [2, 20_000]], {}) is None


@pytest.mark.parametrize("name", MOST_TENSORS)
def test_an_operation_gets_so_many_tensors_and_no_more(name: str) -> None:
    assert name in FUNCTIONS
    limit = MOST_TENSORS[name]
    assert excess(name, [[torch.ones(2)] * limit], {}) is None
    assert excess(name, [[torch.ones(2)] * (limit + 1)], {}) == Excess(None, limit + 1, limit)
    assert excess(name, [torch.ones(2)] * (limit + 1), {}) == Excess(None, limit + 1, limit)


WRITTEN = {
    "an operation": "model: {forward: 'return diff(x, n=101)'}",
    "by position": "model: {forward: 'return diff(x, 101)'}",
    "a number that is not whole": "model: {forward: 'return diff(x, n=1e9)'}",
    "a tensor of numbers": "model: {forward: 'return special.laguerre_polynomial_l(x, full_like(x, 1e9))'}",
    "a method": "model: {forward: 'return x.diff(101)'}",
    "another overload": "model: {forward: 'return tensor_split(x, sections=10001)[0]'}",
    "a layer": "model: [{layer: diff, n: 101}]",
    "a combination": f"model: {{parallel: [{', '.join(['Linear(8)'] * 101)}], combine: linalg.multi_dot}}",
    "a list": "model: {forward: 'return linalg.multi_dot([x for i in range(101)])'}",
    "a buffer": "model: {buffers: {b: {value: 'diff(ones(200), n=101)'}}, forward: return x + b.sum()}",
    "an initialiser": "model: [Linear(8)]\ninit: [Linear.weight: 'diff(zeros, n=101)']",
}


@pytest.mark.parametrize("where", WRITTEN)
def test_it_is_refused_wherever_it_is_written(where: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(f"{HEAD}{WRITTEN[where]}\n")
    assert [found.code for found in caught.value.diagnostics] == ["costly-argument"]


LONG = {
    "an operation": "  forward: return cat(tensor_split(x, 2000))\n",
    "an operator on a device": "  forward: return cat(tensor_split(x, 2000))\nplacement: [/: 'cuda:0']\n",
    "a layer": "  - {layer: LSTM, hidden_size: 8, num_layers: 20}\n",
    "operation in a list": "  - {layer: tensor_split, sections: 2000}\n  - cat\n",
    "constructor": "  - {layer: Transformer, num_encoder_layers: 20}\n",
    "a list of values": "  - {parallel: [" + ", ".join(["ReLU"] * 300) + "], combine: block_diag}\n",
}
LOOKS = 60


@pytest.mark.parametrize("name", LONG)
def test_the_clock_ends_one_call(name: str) -> None:
    reads = 0

    def read() -> float:
        nonlocal reads
        reads += clock.stage == "infer"
        return float(reads)

    clock = Clock(LOOKS, read)
    with clock.running(), pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(RNN + LONG[name])
    assert [found.code for found in caught.value.diagnostics] == ["too-slow"]


class Counted(TorchDispatchMode):
    """Counts what torch does."""

    steps = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.steps += 1
        return func(*args, **(kwargs or {}))


def test_a_recurrent_layer_takes_no_longer_for_a_long_sequence() -> None:
    def steps(length: int) -> int:
        with Counted() as counted:
            compiler.compile_text(f"{RNN.replace('time', str(length))}  - {{layer: LSTM, hidden_size: 8}}\n")
        return counted.steps

    steps(2)  # what is decided once for equal layers is remembered
    assert steps(1000) == steps(3)


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_first": {"batch_first": True},
    "both ways": {"bidirectional": True, "num_layers": 2},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("shape", [(5, 2, 8), (5, 8), (1, 2, 8)])
def test_one_step_has_the_shapes_of_all(
    layer: Callable[..., nn.Module], form: str, shape: tuple[int, ...]
) -> None:
    with meta_device(torch.float32):
        found = forms(layer(8, 6, **FORMS[form])(torch.empty(shape)))
    assert found == forms(layer(8, 6, **FORMS[form])(torch.ones(shape)))


def forms(result: Any) -> list[tuple[Any, ...]]:
    return [(t.shape, t.dtype, t.stride()) for t in tree_leaves(result) if isinstance(t, Tensor)]


NAMED = "spec: 1\ninputs: {x: 'float[batch, time, 8]'}\nmodel: {forward: 'return cat(tensor_split(x, 50, 2), 2) @ x'}\n"


@pytest.mark.parametrize(("looks", "shown"), [(10_000, "[batch, time, 8]"), (40, "[2, 16, 8]")])
def test_naming_the_dimensions_of_an_error_takes_so_long_and_no_longer(
    looks: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = itertools.count()
    monkeypatch.setattr(infer, "Clock", lambda seconds: Clock(looks, lambda: float(next(reads))))
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(NAMED)
    (found,) = caught.value.diagnostics
    assert shown in str(found)


def test_the_clock_is_looked_at_for_each_tensor_that_is_placed() -> None:
    artifact = compiler.compile_text(f"{HEAD}model: [{{repeat: 30, of: Linear(8)}}]\n")
    root = artifact.inferred.root
    rule = PlacementRule(parse_selector("**", None), "cpu", None, root.definition.span, None, None)
    reads = itertools.count()
    clock = Clock(LOOKS / 2, lambda: float(next(reads)))
    with clock.running(), clock.measure("rules"), pytest.raises(compiler.SpecError) as caught:
        sites(artifact.plan.table, [rule], [], lambda rule: None)
    assert [found.code for found in caught.value.diagnostics] == ["too-slow"]


ENDED = '''
import compiler
from compiler.infer import infer
from spec_schema.clock import Clock

class Ending(Clock):
    def __init__(self, seconds):
        looks = iter(range(last))
        super().__init__(seconds, lambda: 0.0 if next(looks, None) is not None else 1e9)

infer.Clock = Ending
SPEC = """
spec: 1
inputs: {x: "float[batch, 3, height, width]"}
model: ["Conv2d(8, 3)", BatchNorm2d, "MaxPool2d(2)", "Conv2d(8, 3)", BatchNorm2d, "MaxPool2d(2)", "Conv2d(4, 3)"]
"""
for last in range(5, 120, 4):
    try:
        compiler.compile_text(SPEC)
    except compiler.SpecError as error:
        print(error.diagnostics[0].code)
'''


def test_the_naming_of_dimensions_can_end_at_any_step() -> None:
    """In a process of its own: torch's C++ ends one that raises where it asks a tensor for its device."""
    run = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.split()) == 29
