"""The emitted file is the model: run by Python alone, it has the same keys and gives the same outputs."""

from __future__ import annotations

import ast

import torch
from hypothesis import given
from torch import nn

import compiler
import runtime
from runtime.testing.comparison import difference
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from tests.emitted_file import run_file
from tests.properties.comparison import outputs, sharing, trainable

ALLOWED = {"collections", "einops", "math", "torch", "typing"}


@given(specs())
def test_the_emitted_file_stands_alone(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    assert _imports(artifact.source) <= ALLOWED
    model = runtime.build(artifact)
    alone = run_file(artifact.source, artifact.name)
    assert dtypes(alone) == dtypes(model)
    assert list(alone.state_dict()) == list(model.state_dict())
    alone.load_state_dict(model.state_dict(), strict=True)
    assert sharing(alone) == sharing(model)
    assert trainable(alone) == trainable(model)
    assert difference(outputs(alone, artifact), outputs(model, artifact)) is None


def dtypes(model: nn.Module) -> dict[str, torch.dtype]:
    return {name: t.dtype for name, t in (*model.named_parameters(), *model.named_buffers())}


def _imports(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return {
        name.split(".")[0]
        for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    }
