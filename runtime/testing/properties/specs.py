"""The property of a layer that is written as a spec: compiled, emitted, saved and loaded, it is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import runtime
from runtime.testing.case import Case, call
from runtime.testing.comparison import difference, form
from runtime.testing.outcome import Failure
from runtime.testing.properties.initialisation import artifact_of


def spec(case: Case) -> None:
    """The emitted module infers the same sizes, has the same keys, and gives the same, also from its file."""
    artifact = artifact_of(case)
    direct = case.make()
    expected = call(direct, case.values())
    if form(artifact.inferred.output) != form(expected):
        raise Failure(f"the compiler infers {form(artifact.inferred.output)}, and it gives {form(expected)}")
    model = runtime.build(artifact, seed=case.seed).eval()
    ours = [name.removeprefix("layer.") for name in model.state_dict()]
    if ours != list(direct.state_dict()):
        raise Failure(f"in a spec it has the keys {ours}, and by itself {list(direct.state_dict())}")
    model.load_state_dict({f"layer.{name}": each for name, each in direct.state_dict().items()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        runtime.save(model, path)
        loaded = runtime.load(path, plugins=case.subject.plugins).eval()
    for what, each in (("built from a spec", model), ("saved and loaded", loaded)):
        if (found := difference(expected, call(each, case.values()), exact=True)) is not None:
            raise Failure(f"by itself and {what} it gives {found}")
