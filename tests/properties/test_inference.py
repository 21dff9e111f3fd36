"""What the compiler says of shapes and dtypes is what a real model has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from hypothesis import given
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.infer.states import BlockState
from compiler.infer.values import freeze
from runtime.testing.strategies.specs import Document, call, sample_inputs, specs
from spec_schema.canonical import to_yaml


@given(specs())
def test_inferred_forms_are_real_ones(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    model = runtime.build(artifact)
    seen = _watch(model, artifact)
    inputs = sample_inputs(artifact)
    with torch.no_grad():
        call(model, artifact, inputs)
        given_outputs, seen.outputs = seen.outputs, {}
        output = call(model.eval(), artifact, inputs)
    assert freeze(output) == freeze(artifact.inferred.output)
    _check_rows(model, artifact)
    for name, state in seen.states.items():
        forms = [form for form in (given_outputs.get(name), seen.outputs.get(name)) if form is not None]
        assert not forms or freeze(state.output) in forms, f"the output of {name or 'the model'}"


def _check_rows(model: nn.Module, artifact: Artifact) -> None:
    """Compare every tensor with its row of the plan."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    buffers = dict(model.named_buffers(remove_duplicate=False))
    persistent = set(model.state_dict())
    assert {name for row in artifact.plan.rows for name in row.names} == {*parameters, *buffers}
    for row in artifact.plan.rows:
        for name in row.names:
            tensor: Tensor = (parameters if row.kind == "parameter" else buffers)[name]
            assert (tuple(tensor.shape), tensor.dtype) == (row.shape, row.dtype), name
            assert tensor.requires_grad == row.trainable, name
            assert (name in persistent) == row.persistent, name


class _Seen:
    """The states of the blocks of a model by their paths, and the form of the first output of each."""

    def __init__(self) -> None:
        self.states: dict[str, BlockState] = {}
        self.outputs: dict[str, Any] = {}


def _watch(model: nn.Module, artifact: Artifact) -> _Seen:
    seen = _Seen()
    for name, state in _blocks(artifact):
        seen.states[name] = state

        def note(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            seen.outputs.setdefault(name, freeze(output))

        model.get_submodule(name).register_forward_hook(note)
    return seen


def _blocks(artifact: Artifact) -> Iterator[tuple[str, BlockState]]:
    """Yield the blocks that have a module of their own."""
    aliases = {
        name for tie in artifact.plan.ties if tie.is_module for name in [".".join(s[0] for s in tie.alias)]
    }
    for module in artifact.plan.table.modules:
        if isinstance(module.state, BlockState) and not any(
            module.name.startswith(alias) for alias in aliases
        ):
            yield module.name, module.state
