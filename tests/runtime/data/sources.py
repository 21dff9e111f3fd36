"""Small data in every form that a training reads, and the splits that a spec makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

import compiler
from compiler.artifact import Artifact
from runtime.training.data import Splits, open_data
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.folders import Folders

ROWS = 12
SPEC = """
spec: 1
inputs: {x: "float32[batch, 3]"}
model: [Linear(2)]
train:
  data: {DATA}
  loss: cross_entropy(output, y)
  optimizer: SGD(lr=0.1)
  batch: 4
  epochs: 1
"""
IMAGES = SPEC.replace('x: "float32[batch, 3]"', 'x: "uint8[batch, 3, 4, 5]"').replace(
    "[Linear(2)]", "{layers: {last: Linear(3)}, forward: 'return last(x.float().flatten(1))'}"
)
LIMIT = 10_000


X_Y = "x: points, y: kind"
SOURCES = {
    "csv": "file: t.csv, x: [a, b, c], y: kind",
    "parquet": f"file: t.parquet, {X_Y}",
    "npz": f"file: t.npz, {X_Y}",
    "safetensors": f"file: t.safetensors, {X_Y}",
    "shards": f"folder: shards, {X_Y}",
    "npy": f"folder: arrays, {X_Y}",
    "saved": f"folder: saved, {X_Y}",
    "photos": "folder: photos, x: image, y: label",
}
"""What a spec says of each kind of source that `write_all` writes."""


def points() -> np.ndarray:
    return np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)


def labels() -> np.ndarray:
    return np.arange(ROWS) % 3


def compiled(data: str, spec: str = SPEC, plugins: tuple[str, ...] = ()) -> Artifact:
    return compiler.compile_text(spec.replace("DATA", data), plugins=list(plugins))


def opened(
    folder: Path,
    data: str,
    spec: str = SPEC,
    limit: int = LIMIT,
    seed: int = 0,
    plugins: tuple[str, ...] = (),
) -> Splits:
    artifact = compiled(data, spec, plugins)
    assert artifact.training is not None
    return open_data(artifact, artifact.training, Folders(folder), limit, seed)


def refused(
    folder: Path, data: str, spec: str = SPEC, limit: int = LIMIT, plugins: tuple[str, ...] = ()
) -> Diagnostic:
    """Return the one reason for which data are refused; it has a place in the spec."""
    with pytest.raises(SpecError) as caught:
        everything(opened(folder, data, spec, limit, plugins=plugins))
    (found,) = caught.value.diagnostics
    assert found.span is not None
    return found


def table() -> pa.Table:
    schema = pa.schema([("points", pa.list_(pa.float32())), ("kind", pa.int64())])
    return pa.table({"points": points().tolist(), "kind": labels()}, schema)


def write_csv(path: Path, lines: list[str] | None = None) -> None:
    head = "a,b,c,kind,city"
    rows = [
        f"{','.join(map(str, row.astype(int)))},{kind},{'xyz'[kind]}"
        for row, kind in zip(points(), labels(), strict=True)
    ]
    path.write_text("\n".join(lines or [head, *rows]) + "\n")


def write_saved(folder: Path, parts: int = 2) -> None:
    """Write what `save_to_disk` of datasets writes, of which a test holds the same against the real one."""
    folder.mkdir(parents=True)
    names = [f"data-{part:05}-of-{parts:05}.arrow" for part in range(parts)]
    whole = table()
    size = ROWS // parts
    for part, name in enumerate(names):
        piece = whole.slice(part * size, size)
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, piece.schema) as stream:
            stream.write_table(piece)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))


def picture(number: int, height: int = 4, width: int = 5) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), number, np.uint8))


def write_images(folder: Path, classes: tuple[str, ...] = ("cat", "dog", "emu")) -> None:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(ROWS // len(classes)):
            picture(label * 10 + number).save(folder / name / f"{number}.png")


def write_all(folder: Path) -> None:
    """Write the same rows in every form."""
    write_csv(folder / "t.csv")
    pq.write_table(table(), folder / "t.parquet", row_group_size=5)
    (folder / "shards").mkdir()
    for part in range(2):
        name = f"train-{part:05}-of-00002.parquet"
        pq.write_table(table().slice(part * 6, 6), folder / "shards" / name, row_group_size=4)
    np.savez(folder / "t.npz", points=points(), kind=labels())
    (folder / "arrays").mkdir()
    np.save(folder / "arrays" / "points.npy", np.asfortranarray(points()))
    np.save(folder / "arrays" / "kind.npy", labels())
    save_file({"points": points(), "kind": labels()}, folder / "t.safetensors")
    write_saved(folder / "saved")
    write_images(folder / "photos")


def everything(splits: Splits) -> dict[str, torch.Tensor]:
    return dict(splits.train[splits.train.in_order()])
