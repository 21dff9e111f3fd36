"""Data of another place than those that a model was trained on, for evaluations and predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import compiler
from compiler.training.source import Origin
from runtime.training.data import open_other
from runtime.training.items import Items
from spec_schema.diagnostics import SpecError
from spec_schema.folders import Folders
from tests.runtime.data.sources import IMAGES, SPEC, picture, write_all, write_csv, write_images

CSV = "file: t.csv, x: [a, b, c], y: city"
PHOTOS = "folder: photos, x: image, y: label"


def other(folder: Path, data: str, kind: str, path: str, names: str = "xy", spec: str = SPEC) -> Items:
    (folder / "spec.yaml").write_text(spec.replace("DATA", data))
    artifact = compiler.compile(folder / "spec.yaml")
    training = artifact.training
    assert training is not None
    fields = {name: field for name, field in training.data.fields.items() if name in names}
    source, origin = replace(training.data, fields=fields), Origin(kind, path, None, training.data.span)
    return open_other(artifact, source, origin, Folders(folder / "other"), 10_000, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_all(tmp_path)
    (tmp_path / "other").mkdir()
    return tmp_path


def test_texts_have_the_numbers_of_the_training(folder: Path) -> None:
    write_csv(folder / "other" / "o.csv", ["a,b,c,city", "1,2,3,z", "1,2,3,y"])
    items = other(folder, CSV, "file", "o.csv")
    assert items[torch.arange(2)]["y"].tolist() == [2, 1]
    (folder / "t.csv").unlink()
    with pytest.raises(SpecError, match="data-missing"):
        other(folder, CSV, "file", "o.csv")


def test_inputs_alone_are_enough_for_predictions(folder: Path) -> None:
    write_csv(folder / "other" / "o.csv", ["a,b,c", "1,2,3", "4,5,6"])
    (folder / "t.csv").unlink()
    items = other(folder, CSV, "file", "o.csv", "x")
    assert items[torch.arange(2)]["x"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_inputs_that_are_texts_are_numbered_too(folder: Path) -> None:
    write_csv(folder / "other" / "o.csv", ["city", "z", "y"])
    spec = SPEC.replace("float32[batch, 3]", "int64[batch]").replace("[Linear(2)]", "['Embedding(3, 9)']")
    items = other(folder, "file: t.csv, x: city, y: kind", "file", "o.csv", "x", spec)
    assert items[torch.arange(2)]["x"].tolist() == [2, 1]


def test_a_transform_is_that_of_items_that_are_held_back(folder: Path) -> None:
    np.savez(folder / "other" / "o.npz", points=np.ones((2, 3), np.float32))
    data = "file: t.npz, x: points, y: kind, transform: \"{'x': x * 9 if training else x / 2, 'y': y + 1}\""
    items = other(folder, data, "file", "o.npz", "x")
    assert items[torch.arange(2)]["x"].tolist() == [[0.5] * 3] * 2
    assert list(items[torch.arange(2)]) == ["x"]


def test_images_with_and_without_classes(folder: Path) -> None:
    write_images(folder / "other" / "few", ("dog",))
    assert set(other(folder, PHOTOS, "folder", "few", spec=IMAGES)[torch.arange(3)]["y"].tolist()) == {1}
    (folder / "other" / "plain").mkdir()
    picture(9).save(folder / "other" / "plain" / "a.png")
    assert other(folder, PHOTOS, "folder", "plain", "x", IMAGES)[torch.arange(1)]["x"].unique().tolist() == [
        9
    ]
