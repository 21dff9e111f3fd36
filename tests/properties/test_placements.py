"""Any placement of any model runs with every operation's operands on one device, or is refused by the compiler."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import chain, count, repeat
from typing import Any

import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import nn

import compiler
from compiler.artifact import Artifact
from compiler.other_devices import devices_of, with_sites
from compiler.placement.fill import holder
from compiler.rules.placement import Site, site_problems
from runtime.build import build
from runtime.classes import root_class
from runtime.testing.comparison import difference
from runtime.testing.strategies.specs import call, sample_inputs, specs
from spec_schema.canonical import to_yaml
from tests.compiler.placement.stand_in import FIRST, SECOND, Forward, forward, put
from tests.properties.comparison import state

REFUSALS = {"device-mix", "share-conflict", "ways-disagree"}


@settings(max_examples=settings().max_examples // 4)
@given(specs(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_a_placed_model_runs_on_its_devices(document: Any, depth: int, random: Any) -> None:
    artifact = compiler.compile_text(to_yaml(document))
    parts = {holder(row)[:depth] for row in artifact.plan.table.tensors}
    if len(parts) < 2 or _runs(_at(artifact, 1, repeat(FIRST))) is None:
        event("not on two devices")
        return
    drawn = (random.choice([FIRST, SECOND]) for _ in count())
    try:
        placed = _at(artifact, depth, chain([FIRST, SECOND], drawn))
    except compiler.SpecError as error:
        codes = {found.code for found in error.diagnostics}
        event(f"refused: {codes}")
        if not codes <= REFUSALS:
            raise
        return
    found = forward(placed)
    event(f"devices: {len(devices_of(placed.plan))}, moves: {min(sum(found.moves.values()), 4)}")
    assert len(devices_of(placed.plan)) > 1 or not found.moves
    _same_on_one_device(artifact, placed)


def _at(artifact: Artifact, depth: int, devices: Iterator[str]) -> Artifact:
    """Return the model with each of its modules, down to a depth, on the next device."""
    chosen: dict[tuple[str, ...], str] = {}
    found = {}
    for row in artifact.plan.table.tensors:
        module = holder(row)[:depth]
        if module not in chosen:
            chosen[module] = next(devices)
        found[row.name] = Site(chosen[module], [])
    problems = site_problems(artifact.plan.table, found, [row.names for row in artifact.plan.rows])
    if problems:
        raise compiler.SpecError(problems)
    return with_sites(artifact, found)


def _runs(artifact: Artifact) -> Forward | None:
    """Return a forward on one device, None for what stand-ins cannot do: torch has none for an LSTM without bias."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cuDNN, which is not there
            return forward(artifact)
    except (RuntimeError, AssertionError, AttributeError) as error:
        event(f"no stand-in: {type(error).__name__}")
        return None


def _same_on_one_device(artifact: Artifact, placed: Artifact) -> None:
    """On one device the source that moves values computes what the one without moves computes."""
    model = build(artifact, device="cpu").eval()
    with torch.device("meta"):
        twin = root_class(placed)().eval()
    tensors = state(model)
    for row in artifact.plan.rows:
        tensor = tensors[row.name]
        put(twin, row.names, nn.Parameter(tensor, False) if row.kind == "parameter" else tensor)
    inputs = sample_inputs(artifact)
    with torch.no_grad():
        found = difference(call(model, artifact, inputs), call(twin, artifact, inputs))
    assert found is None, found
