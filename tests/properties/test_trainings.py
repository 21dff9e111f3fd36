"""Whatever section `train` is drawn: it compiles, means the same in every form, trains, and its model travels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings

import compiler
import runtime
from compiler.artifact import Artifact
from compiler.cli.explain import with_training
from compiler.pipeline import compile_canonical
from runtime.testing.comparison import same
from runtime.testing.strategies.trainings import TrainedSpec, trained_specs
from runtime.train import train
from runtime.training.outcome import Trained
from spec_schema.canonical import to_json, to_yaml
from spec_schema.diagnostics import SpecError
from tests.properties.comparison import state

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(max_examples=settings().max_examples // 5)
@given(trained_specs())
def test_every_form_of_a_section_means_the_same(drawn: TrainedSpec) -> None:
    yaml = compiler.compile_text(to_yaml(drawn.document), name="model.yaml")
    json = compiler.compile_text(to_json(drawn.document), name="model.json")
    again = compile_canonical(yaml.canonical, name="model.yaml")
    assert yaml.canonical == json.canonical == again.canonical
    assert _meaning(yaml) == _meaning(json) == _meaning(again)
    _check_groups(yaml)


@settings(max_examples=settings().max_examples // 10)
@given(trained_specs())
def test_it_trains_and_the_model_travels(drawn: TrainedSpec) -> None:
    with tempfile.TemporaryDirectory() as folder:
        artifact = compiler.compile(drawn.write(Path(folder)))
        result = _trained(artifact, Path(folder))
        event("trained" if result is not None else "nothing that is trained is in the loss")
        if result is None:
            return
        _check_saved(result)
        resumed = train(artifact, out=Path(folder) / "out", progress=False, resume=_checkpoint(result))
        assert same(state(resumed.model), state(result.model)), "a training that is resumed ends otherwise"


def _trained(artifact: Artifact, folder: Path) -> Trained | None:
    """Train, unless the loss follows from nothing that is trained, which torch finds at the first step."""
    try:
        return train(artifact, out=folder / "out", progress=False)
    except SpecError as error:
        if "does not require grad" not in str(error):
            raise
        return None


def _checkpoint(result: Trained) -> Path | None:
    return result.checkpoint if result.checkpoint.exists() else None


def _meaning(artifact: Artifact) -> Any:
    """Return what a section says, as values that can be compared."""
    training = artifact.training
    assert training is not None
    groups = [(each.optimizer, dict(each.options), each.parameters) for each in training.groups]
    makings = [(each.name, dict(each.arguments)) for each in training.optimizers]
    numbers = (training.batch, training.epochs, training.steps, training.accumulate, training.warmup)
    rest = (training.clip, training.ema, training.monitor, training.early_stopping, training.watch)
    return groups, makings, numbers, rest


def _check_groups(artifact: Artifact) -> None:
    """Make sure that each trained parameter is in one group, and that `explain` shows it."""
    assert artifact.training is not None
    named = [name for group in artifact.training.groups for name in group.decisions]
    trained = [row.name for row in artifact.plan.parameters if row.trainable]
    assert sorted(named) == sorted(trained)
    for row in artifact.plan.rows:
        shown = {decision.section for decision in with_training(artifact, row).decisions}
        assert ("optimizer" in shown) == (row.name in trained), row.name


def _check_saved(result: Trained) -> None:
    loaded = runtime.load(result.path, "cpu")
    assert same(state(loaded), state(result.model))
    assert all(not torch.isnan(value).all() or value.numel() == 0 for value in state(loaded).values())
