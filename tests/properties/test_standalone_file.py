"""The emitted file is the model: run by Python alone, it has the same keys and gives the same outputs."""

from __future__ import annotations

import ast
import importlib.util
import sys
import tempfile
from pathlib import Path

from hypothesis import given
from torch import nn

import compiler
import runtime
from compiler.infer.own_tensors import float_dtype
from compiler.rules.dtype import default_dtype
from runtime.testing.comparison import difference
from runtime.testing.strategies.specs import Document, specs
from spec_schema.plain import to_yaml
from tests.properties.comparison import outputs, sharing, trainable

ALLOWED = {"torch", "collections", "math", "einops"}


@given(specs())
def test_the_emitted_file_stands_alone(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    assert _imports(artifact.source) <= ALLOWED
    model = runtime.build(artifact)
    with float_dtype(default_dtype(artifact.program)):
        alone = _run_file(artifact.source, artifact.name)
    assert list(alone.state_dict()) == list(model.state_dict())
    alone.load_state_dict(model.state_dict(), strict=True)
    assert sharing(alone) == sharing(model)
    assert trainable(alone) == trainable(model)
    assert difference(outputs(alone, artifact), outputs(model, artifact)) is None


def _imports(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return {
        name.split(".")[0]
        for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    }


def _run_file(source: str, title: str) -> nn.Module:
    """Import a source as a file, and make its root class."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "emitted.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("emitted", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = before
    made: nn.Module = getattr(module, title)()
    return made
