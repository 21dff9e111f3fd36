"""Data that are not there, elsewhere, broken, too large or do not fit: one located reason, and nothing is written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import compiler
import compiler.extras
from runtime.train import train
from spec_schema.diagnostics import SpecError
from tests.runtime.data.sources import (
    IMAGES,
    SPEC,
    compiled,
    opened,
    points,
    refused,
    table,
    write_all,
    write_csv,
)

X_Y = "x: points, y: kind"
CSV = "file: t.csv, x: [a, b, c], y: kind"
REFUSED = {"data-broken", "unknown-array", "data-shape", "data-lengths", "data-ragged"}
PHOTOS = "folder: photos, x: image, y: label"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    write_all(own)
    return own


# Where they lie.


@pytest.mark.parametrize(
    "kind", ["file: no.csv", "file: no.parquet", "file: no.npy", "file: no.safetensors", "folder: no"]
)
def test_a_source_that_is_not_there(folder: Path, kind: str) -> None:
    found = refused(folder, f"{kind}, {X_Y}")
    assert (found.code, found.message) == ("data-missing", f"there is no file `{kind.split(': ')[1]}`")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.safetensors", "saved", "photos", "arrays"])
@pytest.mark.parametrize("way", ["../other/{}", "link"])
def test_a_source_elsewhere(folder: Path, name: str, way: str) -> None:
    folder.rename(folder.parent / "other")
    folder.mkdir()
    (folder / "link").symlink_to(f"../other/{name}")
    kind = "file" if "." in name else "folder"
    path = way.format(name)
    if way == "link" and kind == "file":
        path += Path(name).suffix
        (folder / "link").rename(folder / path)
    found = refused(folder, f"{kind}: {path}, {X_Y}")
    assert found.code == "data-outside"
    assert found.message == f"`{path}` is outside the spec's own folder"


@pytest.mark.parametrize("what", ["class", "image", "shard", "array", "arrow"])
def test_a_link_inside_a_folder_leads_nowhere_else(folder: Path, what: str) -> None:
    other = folder.parent / "other"
    inside = {
        "class": "photos/cat",
        "image": "photos/cat/0.png",
        "shard": "shards/train-00000-of-00002.parquet",
        "array": "arrays/points.npy",
        "arrow": "saved/data-00000-of-00002.arrow",
    }[what]
    (folder / inside).rename(other)
    (folder / inside).symlink_to(other)
    top = inside.split("/")[0]
    found = refused(
        folder,
        f"folder: {top}, {X_Y}" if top != "photos" else PHOTOS,
        IMAGES if top == "photos" else SPEC,
    )
    assert (found.code, found.message) == ("data-outside", f"`{inside}` is outside the spec's own folder")


def test_a_pipe_among_images_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "photos" / "cat" / "a.png")
    assert refused(folder, PHOTOS, IMAGES).message == "`photos/cat/a.png` is a pipe, and no ordinary file"


@pytest.mark.parametrize("path", ["../../own/t.csv", "/etc/passwd", "../other.png"])
def test_a_table_of_images_names_files_in_its_folder_alone(folder: Path, path: str) -> None:
    (folder / "photos" / "metadata.csv").write_text(f"file_name,label\n{path},1\n")
    found = refused(folder, PHOTOS, IMAGES)
    assert found.code == "data-broken"
    assert found.message.endswith("is named by the table, and lies outside its folder")


@pytest.mark.parametrize("name", ["../t.arrow", "a/b", "..", "", 3])
def test_a_saved_data_set_names_files_in_its_folder_alone(folder: Path, name: object) -> None:
    (folder / "saved" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    found = refused(folder, f"folder: saved, {X_Y}")
    assert found.message == "`saved/state.json` names files outside the folder"


# What they are.


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.safetensors", "points.npy", "t.arrow"])
@pytest.mark.parametrize("how", ["empty", "cut", "other", "a folder"])
def test_a_file_that_is_not_what_its_name_says(folder: Path, name: str, how: str) -> None:
    path = folder / name
    origin = {
        "points.npy": folder / "arrays/points.npy",
        "t.arrow": folder / "saved/data-00000-of-00002.arrow",
    }
    data = origin.get(name, path).read_bytes()
    path.unlink(missing_ok=True)
    if how == "a folder":
        path.mkdir()
    else:
        path.write_bytes(
            {"empty": b"", "cut": data[: len(data) // 2 + 3], "other": b"\x80\x81 something\n" * 9}[how]
        )
    found = refused(folder, f"file: {name}, x: points, y: kind")
    assert found.code in ("data-broken", "unknown-array")
    assert name in found.message


def test_each_byte_of_a_table_is_looked_at(folder: Path) -> None:
    """Whatever byte is changed, a table is data or refused."""
    codes: set[str] = set()
    for name in ("t.parquet", "saved/data-00000-of-00002.arrow", "t.safetensors"):
        data = (folder / name).read_bytes()
        draws = np.random.RandomState(0)
        for _ in range(60):
            at = draws.randint(len(data))
            (folder / name).write_bytes(data[:at] + bytes([draws.randint(256)]) + data[at + 1 :])
            try:
                opened(folder, f"folder: saved, {X_Y}" if "/" in name else f"file: {name}, {X_Y}")
            except SpecError as error:
                codes.add(error.diagnostics[0].code)
        (folder / name).write_bytes(data)
    assert {"data-broken"} <= codes <= REFUSED


@pytest.mark.parametrize(
    ("lines", "code", "message"),
    {
        "a short row": (["a,b,c,kind", "1,2,3,0", "1,2"], "data-ragged", "row 1 of `t.csv` has 2 cells"),
        "a long row": (["a,b,c,kind", "1,2,3,0,9"], "data-ragged", "row 0 of `t.csv` has 5 cells"),
        "an empty cell": (["a,b,c,kind", "1,2,3,0", "1,,3,0"], "data-broken", "`b` is empty in row 1"),
        "no number": (["a,b,c,kind", "1,nan,3,0"], "data-broken", "`b` is empty in row 0"),
        "a wrong column": (["a,b,d,kind", "1,2,3,0"], "unknown-array", "`t.csv` has no array `c`"),
        "a column twice": (["a,b,b,c,kind", "1,2,3,4,0"], "data-broken", "has two columns `b`"),
        "a date": (["a,b,c,kind", "1,2,3,2020-01-01"], "data-broken", "`kind` is date32[day]"),
        "no rows": (["a,b,c,kind"], "too-little-data", "0 items"),
    }.values(),
)
def test_a_csv_file_with_something_wrong(folder: Path, lines: list[str], code: str, message: str) -> None:
    write_csv(folder / "t.csv", lines)
    found = refused(folder, CSV)
    assert found.code == code
    assert message in found.message


@pytest.mark.parametrize("limit", [10_000, 60])
@pytest.mark.parametrize(
    ("columns", "code", "message"),
    {
        "ragged": (
            {"points": [[1.0, 2, 3], [1, 2, 3], [1, 2]], "kind": [0, 1, 2]},
            "data-ragged",
            "row 2 of `points` has 2",
        ),
        "null": (
            {"points": [[1.0, 2, 3], None, [1, 2, 3]], "kind": [0, 1, 2]},
            "data-broken",
            "`points` is empty in row 1",
        ),
        "null inside": ({"points": [[1.0, None, 3]], "kind": [0]}, "data-broken", "a value that is empty"),
        "nan target": (
            {"points": [[1.0, 2, 3]] * 3, "kind": [0.5, 1, float("nan")]},
            "data-nan",
            "`kind` is not a number in row 2",
        ),
        "bytes": ({"points": [[1.0, 2, 3]], "kind": [b"a"]}, "data-broken", "`kind` is binary"),
        "no rows": (
            {"points": pa.array([], pa.list_(pa.float32())), "kind": pa.array([], pa.int64())},
            "too-little-data",
            "0 items",
        ),
    }.values(),
)
def test_a_table_with_something_wrong(
    folder: Path, columns: dict[str, list[object]], code: str, message: str, limit: int
) -> None:
    made = pa.table(columns)
    if not pa.types.is_null(made.schema.field("points").type) and made.num_rows:
        made = made.set_column(0, "points", made.column("points").cast(pa.list_(pa.float32())))
    pq.write_table(made, folder / "t.parquet")
    found = refused(folder, f"file: t.parquet, {X_Y}", limit=limit)
    assert found.code == code
    assert message in found.message


@pytest.mark.parametrize("name", ["t.npz", "t.safetensors", "arrays"])
def test_a_target_that_is_nan(folder: Path, name: str) -> None:
    from safetensors.numpy import save_file

    kind = np.array([0.0] * 11 + [np.nan])
    np.savez(folder / "t.npz", points=points(), kind=kind)
    np.save(folder / "arrays" / "kind.npy", kind)
    save_file({"points": points(), "kind": kind}, folder / "t.safetensors")
    found = refused(folder, f"{'file' if '.' in name else 'folder'}: {name}, {X_Y}")
    assert (found.code, found.message) == ("data-nan", "`kind` is not a number in row 11")


def test_shards_of_two_splits_are_not_mixed(folder: Path) -> None:
    pq.write_table(table(), folder / "shards" / "test-00000-of-00001.parquet")
    assert (
        refused(folder, f"folder: shards, {X_Y}").message
        == "`shards` holds shards of several splits: test, train"
    )


# How much is read, and with what.


def test_a_csv_file_that_is_too_large_is_not_read(folder: Path) -> None:
    found = refused(folder, CSV, limit=50)
    assert found.code == "data-too-large"
    assert found.help == "write it as Parquet, which is read in pieces"


@pytest.mark.parametrize(
    ("data", "module"), [(CSV, "pyarrow"), (f"folder: saved, {X_Y}", "pyarrow"), (PHOTOS, "PIL")]
)
def test_what_reads_it_is_not_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: str, module: str
) -> None:
    monkeypatch.setattr(compiler.extras, "_is_there", lambda name: name != module)
    found = refused(folder, data, IMAGES if data == PHOTOS else SPEC)
    assert found.code == "missing-extra"
    assert found.help == "`pip install 'blockprint[data]'`"
    assert f"is read with `{module}`, which is not installed" in found.message


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_refused_while_it_trains_leaves_nothing_half_written(folder: Path, workers: int) -> None:
    data = f"{PHOTOS}, workers: {workers}, shuffle: false"
    (folder / "spec.yaml").write_text(IMAGES.replace("DATA", data))
    (folder / "photos" / "emu" / "3.png").write_text("broken")
    with pytest.raises(SpecError) as caught:
        train(compiler.compile(folder / "spec.yaml"), out=folder / "out", progress=False)
    (found,) = caught.value.diagnostics
    assert found.message == "`photos/emu/3.png` is no image"
    assert found.span is not None
    assert found.span.text == "photos"
    assert not [path for path in (folder / "out").rglob("*") if path.suffix == ".safetensors"]


# Data sets of plugins.

PLUGIN = """
from pathlib import Path
import torch
from compiler.plugins import dataset

@dataset
class lines:
    def __init__(self, path: Path, bad: int = -1) -> None:
        self.rows = path.read_text().split()
        self.bad = bad
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, index):
        return {"points": torch.ones(3), "kind": self.kind(index)}
    def kind(self, index):
        if index == self.bad:
            return int("seven")
        return int(self.rows[index])
"""


@pytest.fixture
def plugin(folder: Path) -> tuple[str]:
    path = folder.parent / "lines.py"
    path.write_text(PLUGIN)
    (folder / "rows.txt").write_text("0 1 0 1 0")
    return (str(path),)


def test_a_path_among_the_arguments_is_relative_to_the_spec(folder: Path, plugin: tuple[str]) -> None:
    splits = opened(folder, f"dataset: lines('rows.txt'), {X_Y}", plugins=plugin)
    assert splits.train[torch.arange(5)]["y"].tolist() == [0, 1, 0, 1, 0]
    (folder.parent / "rows.txt").write_text("1")
    outside = refused(folder, f"dataset: lines('../rows.txt'), {X_Y}", plugins=plugin)
    assert (outside.code, outside.span.text) == ("data-outside", "lines('../rows.txt')")  # type: ignore[union-attr]
    assert refused(folder, f"dataset: lines('no.txt'), {X_Y}", plugins=plugin).code == "data-missing"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_of_a_data_set_has_its_item_and_line(
    folder: Path, plugin: tuple[str], workers: int
) -> None:
    data = f"dataset: \"lines('rows.txt', bad=4)\", {X_Y}, workers: {workers}, shuffle: false"
    (folder / "spec.yaml").write_text(SPEC.replace("DATA", data))
    artifact = compiler.compile(folder / "spec.yaml", plugins=list(plugin))
    with pytest.raises(SpecError) as caught:
        train(artifact, out=folder / "out", progress=False)
    (found,) = caught.value.diagnostics
    message = (
        "item 4 of the data set `lines` failed: ValueError: invalid literal for int() with base 10: 'seven'"
    )
    assert (found.code, found.message) == ("bad-dataset", message)
    assert found.notes == (f"at {plugin[0]}:17",)


def test_a_data_set_without_items(folder: Path, plugin: tuple[str]) -> None:
    (folder / "rows.txt").write_text("")
    found = refused(folder, f"dataset: lines('rows.txt'), {X_Y}", plugins=plugin)
    assert (found.code, found.message) == ("too-little-data", "the data have 0 items")


def test_a_spec_compiles_where_its_data_are_not(tmp_path: Path) -> None:
    assert compiled("folder: nowhere, x: image, y: label", IMAGES).training is not None
