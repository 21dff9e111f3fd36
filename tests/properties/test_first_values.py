"""First values are a function of the seed and of names alone, and rows of padding are zero."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given
from torch import Tensor, nn

import compiler
import runtime
from compiler import Artifact
from runtime.testing.comparison import same
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from spec_schema.keys import called
from tests.properties.comparison import state

UNRELATED = "unrelated"


@given(specs())
def test_first_values_follow_from_seed_and_names(document: Document) -> None:
    artifact = _artifact(document)
    values = _values(artifact)
    assert same(values, _values(artifact)), "the same seed gives other values"
    turned = _artifact(_turned_round(document))
    assert same(values, _values(turned)), "another order of declarations gives other values"
    more = _values(_artifact(_with_another_layer(document)))
    others = {name for name in more if name.startswith(f"{UNRELATED}.")}
    assert same(values, {name: more[name] for name in more if name not in others}), (
        "an unrelated layer changes values"
    )


def _artifact(document: Document) -> Artifact:
    return compiler.compile_text(to_yaml(document))


def _values(artifact: Artifact) -> dict[str, Tensor]:
    model = runtime.build(artifact, seed=3)
    _check_padding(model)
    made = state(model)
    return {name: made[name] for name in sorted(made)}


def _check_padding(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            assert not module.weight[module.padding_idx].any(), "a row of padding is not zero"


def _turned_round(document: Document) -> Document:
    """Return a spec that declares everything in another order, where order has no meaning."""
    turned = deepcopy(document)
    for body in [*turned.get("blocks", {}).values(), turned["model"], turned]:
        keys = (
            ("parameters", "buffers", "blocks", "layers")
            if _any_order(body)
            else ("parameters", "buffers", "blocks")
        )
        for key in keys:
            if isinstance(body, dict) and key in body:
                body[key] = dict(reversed(body[key].items()))
    return turned


def _any_order(body: Any) -> bool:
    """Say whether the layers of a block may stand in any order: a program calls them, and no list names another."""
    if not isinstance(body, dict) or not any(key.partition("(")[0] == "forward" for key in body):
        return False
    layers = body.get("layers", {})
    names = set(map(called, layers))
    return not any(
        item in names
        for made in layers.values()
        if isinstance(made, list)
        for item in made
        if isinstance(item, str)
    )


def _dtype(document: Document) -> str:
    """Return the dtype of a model."""
    rules = [rule for item in document.get("placement", []) for rule in item.get("then", [item])]
    entries = [entry for rule in rules for entry in rule.values()]
    return str(next((entry["dtype"] for entry in entries if isinstance(entry, dict)), "float32"))


def _with_another_layer(document: Document) -> Document:
    """Return a spec with one more layer that is called and changes nothing else."""
    more = deepcopy(document)
    model: Any = more["model"]
    if isinstance(model, list):
        model.append({UNRELATED: "PReLU"})
    elif isinstance(model, dict) and any(key.partition("(")[0] == "forward" for key in model):
        key = next(key for key in model if key.partition("(")[0] == "forward")
        model["layers"] = {UNRELATED: "Linear(2)", **model.get("layers", {})}
        model[key] = f"{UNRELATED}_value = {UNRELATED}(ones(2, 3, dtype={_dtype(more)}))\n" + model[key]
    elif isinstance(model, dict) and "layers" in model:
        model["layers"] = {**model["layers"], UNRELATED: "PReLU"}
    else:
        return more
    # A rule of its own: one for all that is called `weight` may need a matrix, and is not about this layer.
    more["init"] = [*more.get("init", []), {f"/{UNRELATED}": "ones"}]
    return more
