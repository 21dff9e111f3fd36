"""Graphs of a model, and functions of its parameters."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, fx

from tests.tools.kit import same, tool, trains
from tests.tools.models import Subject


@tool("`torch.jit.trace`")
def trace(subject: Subject) -> None:
    same(torch.jit.trace(subject.model, subject.x)(subject.x), subject.expected)


@tool("`torch.jit.script`")
def script(subject: Subject) -> None:
    same(torch.jit.script(subject.model)(subject.x), subject.expected)


@tool("`torch.jit.freeze`, of a traced model")
def freeze(subject: Subject) -> None:
    same(torch.jit.freeze(torch.jit.trace(subject.model, subject.x))(subject.x), subject.expected)


@tool("`torch.export.export`")
def export(subject: Subject) -> None:
    exported = torch.export.export(subject.model, (subject.x,), strict=False)
    same(exported.module()(subject.x), subject.expected)


@tool("`torch.export.export(strict=True)`")
def export_strict(subject: Subject) -> None:
    same(torch.export.export(subject.model, (subject.x,), strict=True).module()(subject.x), subject.expected)


@tool("`torch.export.save` and `load`")
def export_file(subject: Subject) -> None:
    file = io.BytesIO()
    torch.export.save(torch.export.export(subject.model, (subject.x,)), file)
    file.seek(0)
    same(torch.export.load(file).module()(subject.x), subject.expected)


@tool("`torch.compile(fullgraph=True)`, on `aot_eager`")
def compiled(subject: Subject) -> None:
    torch._dynamo.reset()
    same(torch.compile(subject.model, fullgraph=True, backend="aot_eager")(subject.x), subject.expected)


@tool("`torch.compile`, of a model that trains")
def compiled_training(subject: Subject) -> None:
    torch._dynamo.reset()
    trains(torch.compile(subject.model, backend="aot_eager"), subject)


@tool("`torch.fx.symbolic_trace`")
def symbolic(subject: Subject) -> None:
    same(fx.symbolic_trace(subject.model)(subject.x), subject.expected)


@tool("`torch.onnx.export(dynamo=False)`", "onnx")
def onnx_traced(subject: Subject) -> None:
    file = io.BytesIO()
    torch.onnx.export(subject.model, (subject.x,), file, dynamo=False, input_names=["x"])
    _runs_in_onnx(file, subject)


@tool("`torch.onnx.export(dynamo=True)`", "onnx", "onnxscript")
def onnx_exported(subject: Subject) -> None:
    file = io.BytesIO()
    program = torch.onnx.export(subject.model, (subject.x,), dynamo=True, verbose=False)
    program.save(file)
    _runs_in_onnx(file, subject)


def _runs_in_onnx(file: io.BytesIO, subject: Subject) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model)
    name = model.graph.input[0].name
    (found,) = ReferenceEvaluator(model).run(None, {name: subject.x.numpy()})
    same(found, subject.expected, 1e-4)


# Functions of parameters.


@tool("`torch.func.functional_call`")
def functional_call(subject: Subject) -> None:
    other = {**dict(subject.other.named_parameters()), **dict(subject.other.named_buffers())}
    same(torch.func.functional_call(subject.model, other, (subject.x,)), subject.other(subject.x))


@tool("`torch.func.grad`, of a functional call")
def functional_grad(subject: Subject) -> None:
    params = {name: each.detach() for name, each in subject.model.named_parameters() if each.requires_grad}

    def loss(params: dict[str, Tensor]) -> Tensor:
        found: Tensor = torch.func.functional_call(subject.model, params, (subject.x,)).square().sum()
        return found

    found = torch.func.grad(loss)(params)
    subject.model(subject.x).square().sum().backward()
    for name, gradient in found.items():
        same(gradient, subject.model.get_parameter(name).grad, 1e-4)


@tool("`torch.vmap`, over inputs")
def vmap(subject: Subject) -> None:
    several = torch.stack([subject.x, subject.x.flip(0)])
    same(torch.vmap(subject.model)(several), torch.stack([subject.model(each) for each in several]))


@tool("`torch.func.stack_module_state`, and `vmap` over models")
def stacked(subject: Subject) -> None:
    models = [subject.model, subject.other]
    params, buffers = torch.func.stack_module_state(models)

    def run(params: Any, buffers: Any) -> Any:
        return torch.func.functional_call(subject.model, (params, buffers), (subject.x,))

    same(torch.vmap(run)(params, buffers), torch.stack([each(subject.x) for each in models]))
