"""Whole specs as plain documents, with the inputs that their models take."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from compiler.artifact import Artifact
from runtime.samples import sample
from runtime.testing.strategies.blocks import new_block
from runtime.testing.strategies.draft import Draft, Scope, fresh
from runtime.testing.strategies.models import VOCABULARY, program_model, row_model
from runtime.testing.strategies.rules import add_rules
from runtime.testing.strategies.tensors import Draw, pick, rarely
from spec_schema.keys import called

Document = dict[str, Any]


@st.composite
def specs(draw: Draw, dtype: str | None = None, shared: bool = False, variables: int = 0) -> Document:
    """Draw a valid spec.

    `dtype` fixes the model's; `shared` asks for a share group wherever two tensors can be one; `variables` is the
    least number of `vars`.
    """
    document = draw(bare_specs(dtype, 2 if shared else 0, variables))
    add_rules(draw, document, shared)
    return document


@st.composite
def bare_specs(draw: Draw, dtype: str | None = None, least: int = 0, variables: int = 0) -> Document:
    """Draw a spec without rules, whose blocks nest at least so deep if they can, with so many variables or more."""
    draft = Draft(new_block)
    settings = _settings(draw, draft, variables)
    scope = Scope(draft, tuple(draft.numbers), tuple(draft.flags), recipes=tuple(draft.recipes))
    inputs: dict[str, str] = {}
    depth = max(pick(draw, 2, 0, 1, 3), least)
    shape = program_model if rarely(draw, 2) else row_model
    model = shape(draw, scope, inputs, depth)
    document: Document = {"spec": 1}
    if rarely(draw):
        document["name"] = pick(draw, "net", "my_model", "Net2")
    if rarely(draw, 8):
        document["doc"] = pick(draw, "A model.", "A model: 'quoted',\nover two lines.")
    document |= {key: part for key, part in {**settings, "inputs": inputs}.items() if part}
    document |= _dims(draw, inputs)
    document |= {key: part for key, part in {"blocks": draft.blocks, "model": model}.items() if part}
    wanted = dtype or pick(draw, None, None, "float64")
    if wanted:
        document["placement"] = [{"/": {"device": pick(draw, "cpu", "auto"), "dtype": wanted}}]
    if not dtype and isinstance(model, list) and pick(draw, False, True, True):
        _part_of_another_dtype(draw, document, wanted)
    return document


PART = "precise"
"""The name of what is of another dtype than the model."""


def _part_of_another_dtype(draw: Draw, document: Document, wanted: str | None) -> None:
    """Let an item of a list compute in another dtype, between conversions."""
    model = document["model"]
    names = {called(key) for made in model if isinstance(made, dict) for key in made}
    places = [at for at, made in enumerate(model) if _stands_alone(made) and str(made) not in names]
    if not places:
        return
    at, other, own = pick(draw, *places), "float32" if wanted else "float64", wanted or "float32"
    model[at] = {PART: [f"to({other})", "LayerNorm", model[at], f"to({own})"]}
    document.setdefault("placement", []).append({PART: {"dtype": other}})


def _stands_alone(made: Any) -> bool:
    """Return whether an item has no name in its list, nor is the name of another one."""
    if isinstance(made, dict):
        return (
            "repeat" not in made
            and "splice" not in made
            and bool({"parallel", "residual", "layer"} & set(made))
        )
    return isinstance(made, list) or (made[:1].isupper() and not made.startswith("Embedding"))


def _settings(draw: Draw, draft: Draft, least: int) -> dict[str, Any]:
    """Draw `vars`, also as expressions over earlier ones, and presets for them."""
    taken: set[str] = set()
    variables: dict[str, Any] = {}
    for _ in range(draw(st.integers(least, 3))):
        name = fresh(draw, taken - {"index"} | {"index"}, ("width", "size_", "depth", "dim", "heads"))
        taken.add(name)
        earlier = [n for n in variables if n in draft.numbers]
        forms: list[Any] = [3, 2, 4, *(f"min({n}, 3)" for n in earlier), *(f"{n} // 2 + 1" for n in earlier)]
        variables[name] = pick(draw, *forms)
        draft.numbers.append(name)
    draft.taken |= taken
    if rarely(draw):
        variables["deep"] = pick(draw, True, False)
        draft.flags.append("deep")
    if rarely(draw, 3):
        variables["act_layer"] = pick(draw, "ReLU", "GELU(approximate='tanh')", "LeakyReLU(0.5)", "PReLU")
        draft.recipes.append("act_layer")
    presets = {}
    if draft.numbers and rarely(draw):
        presets = {"tiny": {draft.numbers[0]: pick(draw, 1, 2)}}
    return {"vars": variables, "presets": presets}


def _dims(draw: Draw, inputs: dict[str, str]) -> dict[str, Any]:
    """Give symbolic dimensions their example sizes."""
    sizes: dict[str, int] = {}
    if any("time" in declared for declared in inputs.values()):
        sizes["time"] = 3
    if rarely(draw):
        sizes["batch"] = pick(draw, 2, 3)
    return {"dims": sizes} if sizes else {}


def sample_inputs(artifact: Artifact, seed: int = 0) -> dict[str, Tensor]:
    """Return random values for the inputs of a model, of the example sizes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: sample(meta.shape, meta.dtype, VOCABULARY, generator)
        for name, meta in artifact.inferred.inputs.items()
    }


def call(model: nn.Module, artifact: Artifact, inputs: dict[str, Tensor]) -> Any:
    """Call a model; with the same random numbers each time, where it draws some."""
    order = [entry.name for entry in artifact.program.model.inputs]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model(*[inputs[name] for name in order])
