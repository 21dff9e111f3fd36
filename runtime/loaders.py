"""Loaders: the batches of a training, for a loop of the caller's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.artifact import Artifact
from runtime.train import training_of
from spec_schema.folders import Folders
from spec_schema.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from runtime.training.items import Batch


def loaders(
    artifact: Artifact,
    *,
    seed: int = 0,
    data_paths: Iterable[str | Path] = (),
    data_limit: int = DEFAULT_LIMITS.data_bytes,
) -> dict[str, DataLoader[Batch]]:
    """Return the batches of `train`, and of `validation` and `test` where the spec has them, as a training takes them.

    Those of `train` come in the order of epoch 0, until `loaders["train"].sampler.set_epoch(number)` names another.

    Raises:
        SpecError: the spec has no `train` section, or its data do not fit.
    """
    training = training_of(artifact)
    from runtime.training.data import open_data
    from runtime.training.items import ToldOrder, batches_in, test_batches

    folders = Folders(artifact.folder, tuple(map(Path, data_paths)))
    splits = open_data(artifact, training, folders, data_limit, seed)
    loading, batch = training.data.loading, training.batch
    found = {"train": batches_in(splits.train, ToldOrder(splits.train, batch, seed), loading, False)}
    for name in ("validation", "test"):
        items = getattr(splits, name)
        if items is not None:
            found[name] = test_batches(items, batch, loading, pinned=False)
    return found
