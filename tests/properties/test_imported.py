"""A random model is imported again, as it is built and from its emitted file: the spec is proven to be that model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import event, given, settings
from torch import nn

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.importing.imported import from_module
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from spec_schema.diagnostics import SpecError
from tests.emitted_file import run_file

EXCUSED = {
    "import-data-number": "what is in a tensor becomes a number of Python's: the spec would hold another program",
    "import-failed": "sizes and ways that data decide are not there where a module runs without values",
    "import-operation": "a truth value of what is in a tensor is no operation",
    "import-parametrization": "the parametrisations of plugins need their plugin",
    "import-two-programs": "a module that is called with and without an input is no one block",
    "import-updated": "a buffer of another module is given a new value",
}
"""The refusals that are no faults, with the reasons."""


@pytest.mark.parametrize("origin", ["built", "emitted"])
@settings(max_examples=settings().max_examples // 4)
@given(document=specs())
def test_a_random_model_comes_back(origin: str, document: Document) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    torch.manual_seed(0)
    model: nn.Module = runtime.build(artifact)
    if origin == "emitted":
        alone = run_file(artifact.source, artifact.name)
        alone.load_state_dict(model.state_dict())
        model = alone
    try:
        made = from_module(model, types(document, artifact), dims=document.get("dims"))
    except SpecError as refusal:
        (found, *_) = refusal.diagnostics
        if found.code not in EXCUSED:
            raise
        event(f"{origin}: {found.code}")
        return
    event(f"{origin}: equal")
    assert made.report.proof is not None
    assert made.report.proof.holds


def types(document: Document, artifact: Artifact) -> list[str]:
    """Return the types of the inputs in the order of `forward`, the values of variables in the place of their names."""
    return [_type(entry.name, document, artifact) for entry in artifact.program.model.inputs]


def _type(name: str, document: Document, artifact: Artifact) -> str:
    like = artifact.inferred.inputs[name]
    written = document["inputs"][name].partition("[")[2].rstrip("]").split(",")
    parts = [each.strip() for each in written if each.strip()]
    is_open = [each.isidentifier() and each not in document.get("vars", {}) for each in parts]
    sizes = [part if keep else int(size) for part, keep, size in zip(parts, is_open, like.shape, strict=True)]
    return f"{str(like.dtype).removeprefix('torch.')}[{', '.join(map(str, sizes))}]"
