"""Each source of data with each fault: one located line, and nothing half written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import compiler
from runtime.train import train
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_short
from tests.runtime.data.sources import (
    IMAGES,
    ROWS,
    SOURCES,
    SPEC,
    labels,
    picture,
    points,
    table,
    write_all,
    write_csv,
)

Spoil = Callable[[Path], object]
TEXT = SPEC.replace('"float32[batch, 3]"', '"int64[batch, 2]"').replace("[Linear(2)]", '["Embedding(99, 9)"]')
FAULTY = {
    **SOURCES,
    "listed": "folder: listed, x: image, y: size",
    "cells": "file: cells.parquet, x: image, y: label",
    "text": "text: t.txt, context: 2, x: characters, y: next_characters",
}
PLACES = {each: text.split(": ")[1].split(",")[0] for each, text in FAULTY.items()}
NAN = np.array([0.0] * (ROWS - 1) + [np.nan])


def section(kind: str) -> str:
    if kind == "text":
        return TEXT.replace("(output, y)", "(output.flatten(0, 1), y.flatten())")
    return IMAGES if kind in ("photos", "listed", "cells") else SPEC


def cells(folder: Path) -> None:
    """Write what datasets writes of images."""
    files = [{"bytes": (folder / f"photos/cat/{n}.png").read_bytes(), "path": None} for n in range(4)]
    pq.write_table(pa.table({"image": files, "label": [0, 1, 2, 0]}), folder / "cells.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_all(tmp_path)
    (tmp_path / "listed").mkdir()
    for number in range(4):
        picture(number).save(tmp_path / "listed" / f"{number}.png")
    listed(tmp_path, ["0", "1", "2", "0"])
    cells(tmp_path)
    (tmp_path / "t.txt").write_text("to be or not to be")
    return tmp_path


# Faults.


def listed(folder: Path, sizes: list[str], names: str = "0123") -> None:
    rows = [f"{name}.png,{size}" for name, size in zip(names, sizes, strict=True)]
    (folder / "listed" / "metadata.csv").write_text("\n".join(["file_name,size", *rows]))


def arrays(form: str, /, **changed: np.ndarray) -> Spoil:
    def spoil(folder: Path) -> None:
        found = {"points": points(), "kind": labels(), **changed}
        if form == "npz":
            np.savez(folder / "t.npz", **found)
        elif form == "safetensors":
            save_file(found, folder / "t.safetensors")
        for name, array in found.items():
            np.save(folder / "arrays" / f"{name}.npy", array)

    return spoil


def columns(kind: str, name: str, values: list[object]) -> Spoil:
    def spoil(folder: Path) -> None:
        rows = table()
        made = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values))
        if kind == "saved":
            path = folder / "saved/data-00000-of-00002.arrow"
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, made.schema) as stream:
                stream.write_table(made)
            (folder / "saved/state.json").write_text(json.dumps({"_data_files": [{"filename": path.name}]}))
            return
        pq.write_table(made, folder / "t.parquet")
        for each in (folder / "shards").iterdir():
            pq.write_table(made, each)

    return spoil


def cut(name: str, off: int = 20) -> Spoil:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-off])


def gone(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def lines(*rows: str) -> Spoil:
    return lambda folder: write_csv(folder / "t.csv", ["a,b,c,kind", *rows])


def text(data: bytes) -> Spoil:
    return lambda folder: (folder / "t.txt").write_bytes(data)


def cut_cell(folder: Path) -> None:
    files = [{"bytes": (folder / "photos/cat/0.png").read_bytes()[:-25], "path": None}]
    pq.write_table(pa.table({"image": files, "label": [0]}), folder / "cells.parquet")


def sizes(folder: Path) -> None:
    for name in ("photos/dog/1.png", "listed/1.png"):
        picture(1, 6, 7).save(folder / name)
    files = [{"bytes": (folder / name).read_bytes(), "path": None} for name in ("photos/dog/0.png", name)]
    pq.write_table(pa.table({"image": files, "label": [0, 1]}), folder / "cells.parquet")


RAGGED: list[object] = [[1.0, 2.0, 3.0]] * (ROWS - 1) + [[1.0, 2.0]]
SIZES = "`image` has the shape "
FAULTS: dict[str, dict[str, tuple[Spoil, str]]] = {
    "csv": {
        "a short row": (lines("1,2,3,0", "1,2"), "row 1 of `t.csv` has 2 cells, and there are 4 columns"),
        "a long row": (lines("1,2,3,0", "1,2,3,0,1"), "row 1 of `t.csv` has 5 cells, and there are"),
        "cut off": (lines("1,2,3,0", "1,2,3"), "row 1 of `t.csv` has 3 cells, and there are 4 columns"),
        "nan": (lines("1,2,3,0", "1,2,3,nan"), "`kind` is empty in row 1"),
    },
    "npz": {
        "ragged": (arrays("npz", kind=labels()[:9]), "the arrays have different lengths"),
        "cut off": (cut("t.npz"), "`t.npz` is no .npz file of plain arrays"),
        "nan": (arrays("npz", kind=NAN), "`kind` is not a number in row 11"),
    },
    "npy": {
        "ragged": (arrays("npy", kind=labels()[:9]), "the arrays have different lengths"),
        "cut off": (cut("arrays/points.npy"), "`arrays/points.npy` is no .npy file of a plain array"),
        "nan": (arrays("npy", kind=NAN), "`kind` is not a number in row 11"),
        "a file": (gone("arrays/kind.npy"), "`arrays` has no array `kind`"),
    },
    "safetensors": {
        "ragged": (arrays("safetensors", kind=labels()[:9]), "the arrays have different lengths"),
        "cut off": (cut("t.safetensors"), "`t.safetensors` is no safetensors file"),
        "nan": (arrays("safetensors", kind=NAN), "`kind` is not a number in row 11"),
    },
    "parquet": {
        "ragged": (columns("parquet", "points", RAGGED), "row 11 of `points` has 2 values, and row 0 has 3"),
        "cut off": (cut("t.parquet"), "`t.parquet` cannot be read"),
        "nan": (columns("parquet", "kind", list(NAN)), "`kind` is not a number in row 11"),
    },
    "shards": {
        "ragged": (columns("shards", "points", RAGGED), "row 11 of `points` has 2 values, and row 0 has 3"),
        "cut off": (
            cut("shards/train-00001-of-00002.parquet"),
            "`shards/train-00001-of-00002.parquet` cannot be",
        ),
        "nan": (columns("shards", "kind", list(NAN)), "`kind` is not a number in row 11"),
    },
    "saved": {
        "ragged": (columns("saved", "points", RAGGED), "row 11 of `points` has 2 values, and row 0 has 3"),
        "cut off": (
            cut("saved/data-00001-of-00002.arrow"),
            "`saved/data-00001-of-00002.arrow` cannot be read",
        ),
        "nan": (columns("saved", "kind", list(NAN)), "`kind` is not a number in row 11"),
        "a file": (gone("saved/data-00001-of-00002.arrow"), "no file `saved/data-00001-of-00002.arrow`"),
        "its list": (cut("saved/state.json"), "`saved/state.json` does not say which files the data set has"),
    },
    "photos": {
        "ragged": (sizes, SIZES),
        "cut off": (cut("photos/dog/1.png", 25), "`photos/dog/1.png` is an image that cannot be read"),
    },
    "listed": {
        "ragged": (sizes, SIZES),
        "cut off": (cut("listed/1.png", 25), "`listed/1.png` is an image that cannot be read"),
        "nan": (lambda folder: listed(folder, ["0", "nan", "1", "1"]), "`size` is empty in row 1"),
        "a file": (gone("listed/2.png"), "there is no file `listed/2.png`"),
        "a row": (
            lambda folder: listed(folder, ["0", "0,1", "1", "1"]),
            "row 1 of `listed/metadata.csv` has 3 cells",
        ),
    },
    "cells": {
        "ragged": (sizes, SIZES),
        "cut off": (cut_cell, "`cells.parquet, row 0 of image` is an image that cannot be read"),
    },
    "text": {
        "cut off": (
            lambda folder: (folder / "t.txt").write_bytes("to bé".encode()[:-1]),
            "`t.txt` is no text in UTF-8",
        ),
        "empty": (lambda folder: (folder / "t.txt").write_text(""), "a split has fewer than two windows"),
    },
}
CASES = [(kind, fault) for kind, faults in FAULTS.items() for fault in faults]


def refusal(folder: Path, kind: str, data: str) -> tuple[str, str]:
    """Return what a training says, on one line, and the text at the place that it names."""
    path = folder / "spec.yaml"
    path.write_text(section(kind).replace("DATA", data))
    before = set(folder.rglob("*"))
    with pytest.raises(SpecError) as caught:
        train(compiler.compile(path), out=folder / "out", progress=False)
    written = {each for each in set(folder.rglob("*")) - before if each.is_file()}
    assert {each.name for each in written} <= {"metrics.csv"}
    (found,) = caught.value.diagnostics
    assert found.span is not None
    (line,) = render_short([found], DEFAULT_LIMITS).split("\n")
    return line, found.span.text


@pytest.mark.parametrize("kind", FAULTY)
def test_a_source_that_is_missing(folder: Path, kind: str) -> None:
    (folder / PLACES[kind]).rename(folder / "elsewhere")
    line, place = refusal(folder, kind, FAULTY[kind])
    assert line.endswith(
        f"spec.yaml:6:{line.split(':')[2]}: error[data-missing]: there is no file `{PLACES[kind]}`"
    )
    assert place == PLACES[kind]


@pytest.mark.parametrize("kind", FAULTY)
def test_a_column_of_another_name(folder: Path, kind: str) -> None:
    line, place = refusal(folder, kind, f"{FAULTY[kind]}s")
    assert place == f"{FAULTY[kind].rsplit(': ')[-1]}s"
    assert (
        f"error[unknown-array]: {'a text' if kind == 'text' else f'`{PLACES[kind]}`'} has no array `{place}`"
        in line
    )


@pytest.mark.parametrize(("kind", "fault"), CASES, ids=[f"{kind}-{fault}" for kind, fault in CASES])
def test_each_fault_is_one_located_line(folder: Path, kind: str, fault: str) -> None:
    spoil, message = FAULTS[kind][fault]
    spoil(folder)
    line, place = refusal(folder, kind, f"{FAULTY[kind]}, shuffle: false")
    assert message in line
    assert place in FAULTY[kind]
