"""Random specs leave as ONNX: the file is the model, also on inputs and at sizes of its own, or the spec is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from torch import nn
from torch.utils._pytree import tree_leaves

import compiler
import runtime
from compiler import Artifact
from runtime.exporting.agreement import difference, real
from runtime.samples import in_order, sample_inputs
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from tests.runtime.exporting.kit import graph
from tests.zoo.parity import draw

onnxruntime = pytest.importorskip("onnxruntime")
LIMIT = 1e-4
EXAMPLES = max(3, settings().max_examples // 50)
WAYS_OUT = (
    "cannot stay open",
    "torch.export makes no graph of this",
    "torch's exporter has no ONNX for this",
    "onnxruntime does not take the file",
    "the model draws random numbers",
    "what a tensor holds decides the way",
)
"""What torch and onnxruntime cannot do."""


@given(specs())
@settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate])  # to shrink one takes minutes
def test_a_random_spec_is_exported_or_refused(document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    model = draw(runtime.build(artifact, device="cpu")).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        refused = None
        try:
            runtime.export_onnx(model, path)
        except compiler.SpecError as error:
            refused = error
        if refused is None:
            _check(path, artifact, model)
        else:
            assert _is_known(artifact, refused)
            assert not path.exists()


def _check(path: Path, artifact: Artifact, model: nn.Module) -> None:
    """Hold a file beside the model: its names, and its outputs for inputs that the export did not try."""
    names = {each.name for each in graph(path).initializer}
    assert not {name for row in artifact.plan.rows for name in row.names if name != row.name} & names
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = sample_inputs(artifact, model, 1)
    with torch.no_grad():
        expected = [x for x in tree_leaves(model(*in_order(artifact, given))) if isinstance(x, torch.Tensor)]
    found = session.run(None, {name: real(value).numpy() for name, value in given.items()})
    assert all(
        difference(torch.from_numpy(one), real(other)) <= LIMIT
        for one, other in zip(found, expected, strict=True)
    )


def _is_known(artifact: Artifact, error: compiler.SpecError) -> bool:
    [found] = error.diagnostics
    ways = bool(artifact.inferred.others) and "what was written" in found.message
    return found.code == "not-exported" and (ways or any(each in found.message for each in WAYS_OUT))
