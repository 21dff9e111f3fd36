"""A random model is imported again, as it is built and from its emitted file: the spec is proven to be that model.

The proof compares keys, shapes, dtypes, values, ties, frozen parts, outputs on two sizes, gradients and buffers.
"""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import event, given, settings
from torch import nn

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.importing.imported import Imported, from_module
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import plain, to_yaml
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text
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
COMPARED = ("blocks", "model", "share", "freeze", "parametrize")
LONGEST = 1.2
"""How many times as long imported specs may be as those that the models were made of, all together."""
ENOUGH = 50
"""Different models of which the lengths say something: of a few, one that a `repeat` with names makes decides alone."""
SIZE_DECIDES = re.compile(r"shape\[\d\] (?:[<>]=?|[=!]=) \d")
"""A program that goes another way for another size: a spec that is imported goes the way that was taken."""


@pytest.mark.parametrize("origin", ["built", "emitted"])
def test_random_models_come_back(origin: str) -> None:
    lengths: dict[str, tuple[int, int]] = {}

    @settings(max_examples=settings().max_examples // 2)
    @given(document=specs())
    def comes_back(document: Document) -> None:
        made = imported_again(document, origin)
        if made is not None:
            lengths[made.text] = (length(document), length(read(made.text)))

    comes_back()
    first, again = (sum(each) for each in zip(*lengths.values(), strict=True))
    few = len(lengths) < ENOUGH
    assert few or again <= LONGEST * first, f"{again} lines, of {first}"


def imported_again(document: Document, origin: str) -> Imported | None:
    """Return the import of the model of a document, None where it is refused for a reason that is no fault."""
    artifact = compiler.compile_text(to_yaml(document))
    torch.manual_seed(0)
    model: nn.Module = runtime.build(artifact)
    if origin == "emitted":
        alone = run_file(artifact.source, artifact.name)
        alone.load_state_dict(model.state_dict())
        model = alone
    is_closed = SIZE_DECIDES.search(to_yaml(document)) is not None
    dims = None if is_closed else document.get("dims")
    try:
        made = from_module(model, types(document, artifact, is_closed), dims=dims)
    except SpecError as refusal:
        (found, *_) = refusal.diagnostics
        if found.code not in EXCUSED:
            raise
        event(f"{origin}: {found.code}")
        return None
    event(f"{origin}: equal")
    assert made.report.proof is not None
    assert made.report.proof.holds
    return made


def length(document: Document) -> int:
    """Return how many lines a document has in its canonical form, its inputs and where weights come from aside."""
    return len(to_yaml({key: document[key] for key in COMPARED if key in document}).splitlines())


def read(text: str) -> Document:
    found = plain(read_text(text, "spec.yaml", DEFAULT_LIMITS))
    assert isinstance(found, dict)
    return found


def types(document: Document, artifact: Artifact, is_closed: bool = False) -> list[str]:
    """Return the types of the inputs in the order of `forward`, the values of variables in the place of their names."""
    return [_type(entry.name, document, artifact, is_closed) for entry in artifact.program.model.inputs]


def _type(name: str, document: Document, artifact: Artifact, is_closed: bool) -> str:
    like = artifact.inferred.inputs[name]
    written = document["inputs"][name].partition("[")[2].rstrip("]").split(",")
    parts = [each.strip() for each in written if each.strip()]
    is_open = [each.isidentifier() and each not in document.get("vars", {}) for each in parts]
    sizes = [
        part if keep and not is_closed else int(size)
        for part, keep, size in zip(parts, is_open, like.shape, strict=True)
    ]
    return f"{str(like.dtype).removeprefix('torch.')}[{', '.join(map(str, sizes))}]"
