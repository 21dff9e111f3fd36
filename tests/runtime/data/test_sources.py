"""Every source of data gives the same rows, whole or read in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from runtime.training.items import Rows, TableRows, training_batches
from tests.runtime.data.sources import (
    IMAGES,
    ROWS,
    SPEC,
    everything,
    labels,
    opened,
    picture,
    points,
    table,
    write_all,
    write_csv,
)

SAVED = Path(__file__).parent / "saved"
COLUMNS = "x: points, y: kind"
SOURCES = {
    "npz": f"file: t.npz, {COLUMNS}",
    "csv": "file: t.csv, x: [a, b, c], y: kind",
    "csv of text": "file: t.csv, x: [a, b, c], y: city",
    "parquet": f"file: t.parquet, {COLUMNS}",
    "safetensors": f"file: t.safetensors, {COLUMNS}",
    "arrays": f"folder: arrays, {COLUMNS}",
    "shards": f"folder: shards, {COLUMNS}",
    "saved": f"folder: saved, {COLUMNS}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_all(tmp_path)
    return tmp_path


@pytest.mark.parametrize("data", SOURCES.values(), ids=SOURCES)
def test_every_source_has_the_same_rows(folder: Path, data: str) -> None:
    splits = opened(folder, data)
    assert isinstance(splits.train, Rows)
    batch = everything(splits)
    assert torch.equal(batch["x"], torch.from_numpy(points()))
    assert torch.equal(batch["y"], torch.from_numpy(labels()))
    assert (splits.test, splits.validation) == (None, None)


@pytest.mark.parametrize("name", ["parquet", "shards", "saved"])
def test_a_table_that_is_too_large_is_read_in_pieces(folder: Path, name: str) -> None:
    train = opened(folder, SOURCES[name], limit=100).train
    assert isinstance(train, TableRows)
    indices = torch.tensor([11, 0, 5, 4, 5])
    batch = train[indices]
    assert torch.equal(batch["x"], torch.from_numpy(points())[indices])
    assert torch.equal(batch["y"], torch.from_numpy(labels())[indices])
    order = train.shuffled(torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(ROWS))
    assert order.tolist() != list(range(ROWS))


def test_rows_of_a_large_table_are_drawn_so_that_few_groups_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"points": [[1.0, 2.0, 3.0]] * 400, "kind": [0] * 400}
    pq.write_table(pa.table(rows).cast(table().schema), tmp_path / "t.parquet", row_group_size=10)
    train = opened(tmp_path, SOURCES["parquet"], limit=1000).train
    read: list[int] = []
    groups = train.read.__self__.table  # type: ignore[union-attr]
    original = groups.files[0].read_row_group

    class Counting:
        def read_row_group(self, group: int, **options: object) -> object:
            read.append(group)
            return original(group, **options)

    monkeypatch.setattr(groups, "files", [Counting()])
    for batch in training_batches(train, 7, 0, lambda: 0):
        assert len(batch["x"]) in (7, 1)
    assert len(read) < 60  # of 40 groups; one by one in any order it would be hundreds


@pytest.mark.parametrize("name", ["safetensors", "arrays"])
def test_a_mapped_file_may_be_larger_than_what_may_be_read(folder: Path, name: str) -> None:
    batch = everything(opened(folder, SOURCES[name], limit=10))
    assert torch.equal(batch["x"], torch.from_numpy(points()))


def test_one_npy_file_is_the_array_of_its_name(folder: Path) -> None:
    np.save(folder / "tokens.npy", np.arange(6).reshape(2, 3))
    spec = (
        SPEC.replace("float32", "int64")
        .replace("Linear(2)", "'Embedding(9, 2)'")
        .replace("output, y", "output.mT, x")
    )
    batch = everything(opened(folder, "file: tokens.npy, x: tokens", spec))
    assert batch["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_numbers_of_csv_have_the_dtype_that_the_model_takes(folder: Path) -> None:
    write_csv(folder / "t.csv", ["a,b,c,kind,part", *["1,2.5,3,1,0.5"] * 4])
    batch = everything(opened(folder, "file: t.csv, x: [a, b, c], y: kind, z: part, w: a"))
    assert {name: each.dtype for name, each in batch.items()} == {
        "x": torch.float32,
        "y": torch.int64,
        "z": torch.float32,
        "w": torch.int64,
    }
    assert batch["x"][0].tolist() == [1, 2.5, 3]


def test_what_datasets_itself_has_saved() -> None:
    """`save_to_disk(..., num_shards=2)` of datasets 5.2.0 wrote the folder, with a list, a grid and a class."""
    for data in ("x: points, y: kind", "x: points, y: kind, grid: grid"):
        batch = everything(opened(SAVED.parent, f"folder: saved, {data}"))
        assert batch["x"].tolist() == [[i, i + 1, i + 2] for i in range(12)]
        assert batch["y"].tolist() == [i % 2 for i in range(12)]
    assert batch["grid"].shape == (12, 2, 2)


# Images.


def test_the_class_of_an_image_is_its_folder(folder: Path) -> None:
    batch = everything(opened(folder, "folder: photos, x: image, y: label", IMAGES))
    assert batch["x"].shape == (ROWS, 3, 4, 5)
    assert batch["y"].tolist() == sorted([0, 1, 2] * 4)
    assert batch["x"][:, 0, 0, 0].tolist() == [10 * label + n for label in range(3) for n in range(4)]


def test_a_table_says_the_labels_of_images(tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    picture(3).save(tmp_path / "photos" / "b.png")
    picture(7).save(tmp_path / "photos" / "deep" / "a.bmp")
    (tmp_path / "photos" / "metadata.csv").write_text(
        "file_name,kind,price\nb.png,wolf,1.5\ndeep/a.bmp,ant,2.5\n"
    )
    batch = everything(opened(tmp_path, "folder: photos, x: image, y: kind, price: price", IMAGES))
    assert batch["x"][:, 0, 0, 0].tolist() == [3, 7]
    assert batch["y"].tolist() == [1, 0]
    assert batch["price"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_an_image_of_any_mode_is_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    ending = "tiff" if mode == "CMYK" else "png"
    Image.new(mode, (5, 4)).save(tmp_path / "photos" / "a" / f"i.{ending}")
    batch = everything(opened(tmp_path, "folder: photos, x: image, y: label", IMAGES))
    assert batch["x"].shape == (1, 3, 4, 5)


def test_images_in_a_table(tmp_path: Path) -> None:
    for number in range(4):
        picture(number).save(tmp_path / f"{number}.png")
    cells = [{"bytes": (tmp_path / f"{n}.png").read_bytes(), "path": None} for n in range(4)]
    pq.write_table(
        pa.table({"image": cells, "label": [0, 1, 0, 1]}), tmp_path / "t.parquet", row_group_size=3
    )
    splits = opened(tmp_path, "file: t.parquet, x: image, y: label, test: 0.5, stratify: label", IMAGES)
    assert splits.test is not None
    assert sorted(everything(splits)["y"].tolist()) == [0, 1]
    both = [
        *everything(splits)["x"][:, 0, 0, 0].tolist(),
        *splits.test[torch.arange(2)]["x"][:, 0, 0, 0].tolist(),
    ]
    assert sorted(both) == [0, 1, 2, 3]
