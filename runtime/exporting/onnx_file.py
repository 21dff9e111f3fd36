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
from runtime.exporting.dimensions import open_dimensions
from runtime.exporting.first import first_trial
from runtime.exporting.problems import failed, not_exported
from runtime.exporting.put_right import put_right
from runtime.exporting.readiness import ready
from runtime.exporting.recurrent_onnx import translations
from runtime.exporting.rewritten import WRITTEN_OUT
from runtime.exporting.staging import put_file

LARGEST = 2**31 - 2**20
"""Bytes of tensors that a file of ONNX holds. Beyond, they stand in a file beside it."""
BESIDE = ".data"


def make_onnx(model: nn.Module, staged: Path, fixed: Mapping[str, int]) -> Agreement:
    """Write the file aside, and run it beside the model; see `runtime.export_onnx`."""
    artifact = ready(model)
    dimensions = open_dimensions(artifact, fixed)
    trial = first_trial(model, dimensions)
    with quietly():
        program = captured(model, dimensions, trial, WRITTEN_OUT)
        _check_pure(artifact, program)
        graph = _translated(artifact, program)
        put_right(graph, dimensions, _output_names(program))
    _write(graph, staged)
    return agreement(staged, model, dimensions, trial)


def put_onnx(staged: Path, path: Path) -> None:
    """Move the file to its place, in one step, after what stands beside it."""
    beside = staged.with_name(f"{staged.name}{BESIDE}")
    if beside.exists():
        put_file(beside, path.with_name(beside.name))
    put_file(staged, path)


def _check_pure(artifact: Artifact, program: ExportedProgram) -> None:
    """Refuse a model whose forward changes its buffers: in a file of ONNX nothing changes."""
    changed = sorted({*program.graph_signature.buffers_to_mutate.values()})
    if changed:
        raise not_exported(
            artifact,
            f"each call changes `{changed[0]}`, and a file of ONNX never changes",
            help="`--pt2` keeps what a call changes",
        )


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


def _write(graph: ir.Model, staged: Path) -> None:
    size = sum(
        0 if each.const_value is None else each.const_value.nbytes
        for each in graph.graph.initializers.values()
    )
    beside = f"{staged.name}{BESIDE}" if size > LARGEST else None
    ir.save(graph, staged, external_data=beside)
    onnx.checker.check_model(str(staged), full_check=True)
