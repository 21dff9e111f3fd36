"""A model as a file of ONNX, which was run beside the model before it is put in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch import nn
from torch.export import ExportedProgram

from compiler.artifact import Artifact
from runtime.exporting.agreement import Agreement, agreement
from runtime.exporting.capture import captured, quietly
from runtime.exporting.first import prepared
from runtime.exporting.onnx_session import session
from runtime.exporting.problems import failed
from runtime.exporting.put_right import put_right
from runtime.exporting.recurrent_onnx import translations
from runtime.exporting.rewritten import WRITTEN_OUT

LARGEST = 2**31 - 2**20
"""Bytes of tensors that a file of ONNX holds. Beyond, they stand in a file beside it."""


def make_onnx(model: nn.Module, staged: Path, fixed: Mapping[str, int]) -> Agreement:
    """Write the file aside, and run it beside the model; see `runtime.export_onnx`."""
    dimensions, trial = prepared(model, fixed)
    with quietly():
        program = captured(model, dimensions, trial, WRITTEN_OUT)
        graph = _translated(dimensions.artifact, program)
        put_right(graph, dimensions, _output_names(program))
    _write(dimensions.artifact, graph, staged)
    return agreement(session(staged, dimensions), model, dimensions, trial)


def _translated(artifact: Artifact, program: ExportedProgram) -> ir.Model:
    try:
        made = torch.onnx.export(
            program, dynamo=True, optimize=False, verbose=False, custom_translation_table=translations()
        )
    except Exception as error:  # the exporter wraps whatever went wrong
        raise failed(artifact, "torch's exporter has no ONNX for this", error) from error
    assert made is not None
    return made.model


def _output_names(program: ExportedProgram) -> list[str]:
    """Return a name for each tensor that the model returns: its key, or its place."""
    spec = program.call_spec.out_spec
    assert spec is not None
    values = [each for each in program.graph_signature.output_specs if each.kind.name == "USER_OUTPUT"]
    tree = torch.utils._pytree.tree_unflatten([type(each.arg).__name__ for each in values], spec)
    leaves = torch.utils._pytree.tree_flatten_with_path(tree)[0]
    return [_name(keys) for keys, kind in leaves if kind != "ConstantArgument"]


def _name(keys: tuple[Any, ...]) -> str:
    parts = [str(getattr(key, "key", getattr(key, "idx", key))) for key in keys]
    return "_".join(["output", *parts] if not parts or parts[0].isdigit() else parts)


def _write(artifact: Artifact, graph: ir.Model, staged: Path) -> None:
    size = sum(
        0 if each.const_value is None else each.const_value.nbytes
        for each in graph.graph.initializers.values()
    )
    beside = f"{staged.name}.data" if size > LARGEST else None
    ir.save(graph, staged, external_data=beside)
    try:
        onnx.checker.check_model(str(staged), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise failed(artifact, "the checker of ONNX refuses what torch made", error) from error
