"""Trainings that are killed, or whose disk is full: the last checkpoint is whole, and they end in the same bytes.

`make kills` tries every moment; here are a few.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.runtime.kills.harm import Trainings, one_line

KILLS, MOMENTS = 4, 2


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    found = Trainings(tmp_path_factory.mktemp("interrupted"))
    yield found
    found.close()


def test_a_training_that_came_to_no_harm_is_the_same_each_time(trainings: Trainings) -> None:
    trainings.begin()
    trainings.finish()


def test_a_training_that_was_killed_ends_in_the_same_bytes(trainings: Trainings) -> None:
    draw = random.Random(1)
    trainings.begin()
    for _ in range(KILLS):
        trainings.train(delay=draw.uniform(0.1, 0.6) * trainings.whole["seconds"])
        trainings.examine()
    trainings.finish()


@pytest.mark.parametrize("harm", ["kill", "full"])
def test_it_may_come_to_harm_as_it_writes(trainings: Trainings, harm: str) -> None:
    for at in random.Random(2).sample(range(len(trainings.whole["moments"])), MOMENTS):
        trainings.begin()
        said = trainings.train(harm=harm, at=at)
        assert said["end"] == "killed" if harm == "kill" else one_line(said["end"])
        trainings.examine()
        trainings.finish()


def test_a_log_is_never_behind_the_checkpoint(trainings: Trainings) -> None:
    """Kill it around the moment at which the first checkpoint takes its place: the log of its epoch is there."""
    first = trainings.whole["moments"].index("replace checkpoint.safetensors")
    found = []
    for at in range(first, first + 3):
        trainings.begin()
        trainings.train(harm="kill", at=at)
        found.append(trainings.examine())
    assert found == ["no checkpoint", "epoch 1", "epoch 1"]
