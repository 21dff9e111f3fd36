"""What is held against a spec before it runs: what data say of themselves, of which no value is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import compiler.extras
from runtime.training.checked import check_data
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.folders import Folders
from tests.runtime.data.sources import (
    IMAGES,
    LIMIT,
    SOURCES,
    SPEC,
    X_Y,
    compiled,
    points,
    write_all,
    write_csv,
)

CAST = "{layers: {last: Linear(2)}, forward: 'return last(x.float())'}"
DOUBLE = SPEC.replace("float32[batch", "float64[batch").replace("[Linear(2)]", CAST)
TEXT = SPEC.replace('"float32[batch, 3]"', '"int64[batch, 2]"').replace("[Linear(2)]", '["Embedding(9, 2)"]')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_all(tmp_path)
    return tmp_path


def checked(folder: Path, data: str, spec: str = SPEC, limit: int = LIMIT) -> list[str]:
    artifact = compiled(data, spec)
    assert artifact.training is not None
    return [each.why for each in check_data(artifact, artifact.training, Folders(folder), limit)]


def refused(folder: Path, data: str, spec: str = SPEC, limit: int = LIMIT) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        checked(folder, data, spec, limit)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    return found


def spec_of(kind: str) -> str:
    return IMAGES if kind == "photos" else SPEC


@pytest.mark.parametrize("kind", SOURCES)
def test_data_that_fit_are_fine(folder: Path, kind: str) -> None:
    assert checked(folder, SOURCES[kind], spec_of(kind)) == []


@pytest.mark.parametrize("kind", SOURCES)
def test_data_that_are_not_there_yet_are_no_error(tmp_path: Path, kind: str) -> None:
    path = SOURCES[kind].split(": ")[1].split(",")[0]
    assert checked(tmp_path, SOURCES[kind], spec_of(kind)) == [f"`{path}` is not there yet"]


@pytest.mark.parametrize("kind", SOURCES)
def test_an_array_of_another_name(folder: Path, kind: str) -> None:
    name = SOURCES[kind].rsplit(": ", 1)[1]
    found = refused(folder, f"{SOURCES[kind]}s", spec_of(kind))
    assert found.code == "unknown-array"
    assert found.message.endswith(f"has no array `{name}s`")
    assert found.help == f"did you mean `{name}`?"


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "csv"])
def test_a_dtype_that_the_model_does_not_take(folder: Path, kind: str) -> None:
    spec = IMAGES.replace("uint8[batch", "float32[batch") if kind == "photos" else DOUBLE
    found = refused(folder, SOURCES[kind], spec)
    assert found.code == "data-shape"
    assert found.message.startswith(
        "a batch of `image` is uint8" if kind == "photos" else "a batch of `points`"
    )


@pytest.mark.parametrize("kind", ["csv", "npz", "safetensors", "npy"])
def test_a_shape_that_the_model_does_not_take(folder: Path, kind: str) -> None:
    found = refused(folder, SOURCES[kind], SPEC.replace("batch, 3", "batch, 7"))
    assert found.code == "data-shape"
    assert found.message.endswith("[?, 3]" if kind == "csv" else "float32[4, 3]")


def test_what_each_place_says_is_told(folder: Path) -> None:
    np.savez(folder / "test.npz", points=points(), other=points())
    data = f"{SOURCES['npz']}, test: {{file: test.npz}}, validation: {{file: later.npz}}"
    assert refused(folder, data).message == "`test.npz` has no array `kind`"
    np.savez(folder / "test.npz", points=points(), kind=np.zeros(12, np.int64))
    assert checked(folder, data) == ["`later.npz` is not there yet"]


@pytest.mark.parametrize("key", ["stratify", "group", "weights"])
def test_the_array_of_a_split_or_of_weights_is_looked_for(folder: Path, key: str) -> None:
    assert refused(folder, f"{SOURCES['npz']}, test: 0.5, {key}: street").code == "unknown-array"


def test_lengths_that_differ_and_splits_that_would_be_empty(folder: Path) -> None:
    assert refused(folder, f"{SOURCES['npz']}, test: 0.01").message == "a split of the data would be empty"
    np.savez(folder / "t.npz", points=points(), kind=np.zeros(11, np.int64))
    assert refused(folder, SOURCES["npz"]).code == "data-lengths"
    np.savez(folder / "t.npz", points=points()[:0], kind=np.zeros(0, np.int64))
    assert refused(folder, SOURCES["npz"]).message == "`t.npz` has 0 items"


def test_what_a_transform_changes_is_held_by_name_alone(folder: Path) -> None:
    data = f"{SOURCES['npz']}, transform: \"{{'x': x.double()}}\""
    assert checked(folder, data, DOUBLE) == []
    assert refused(folder, data.replace("points", "pints")).code == "unknown-array"


def test_the_length_of_lists_in_a_column_is_told_where_the_file_tells_it(folder: Path) -> None:
    fixed = pa.table(
        {"points": pa.FixedSizeListArray.from_arrays(pa.array([1.0] * 8, pa.float32()), 4), "kind": [0, 1]}
    )
    pq.write_table(fixed, folder / "t.parquet")
    assert refused(folder, SOURCES["parquet"]).message == "a batch of `points` is float32[2, 4]"


def test_what_no_tensor_holds(folder: Path) -> None:
    np.savez(folder / "t.npz", points=np.array(["a", "b"]), kind=np.zeros(2, np.int64))
    assert refused(folder, SOURCES["npz"]).message == "the array `points` is <U1, which no tensor holds"
    np.savez(folder / "t.npz", points=np.float32(1), kind=np.zeros(2, np.int64))
    assert refused(folder, SOURCES["npz"]).message == "the array `points` is a single number"


@pytest.mark.parametrize("kind", ["parquet", "npz", "safetensors", "npy", "saved"])
def test_a_file_that_is_cut_off(folder: Path, kind: str) -> None:
    name = {"npy": "arrays/points.npy", "saved": "saved/data-00001-of-00002.arrow"}.get(kind, f"t.{kind}")
    (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    assert refused(folder, SOURCES[kind]).code == "data-broken"


def test_no_value_is_looked_at(folder: Path) -> None:
    """A NaN and a ragged row are told by the training; what is large is checked as fast as what is small."""
    write_csv(folder / "t.csv", ["a,b,c,kind", "1,2,3,nan", "1,2"])
    assert checked(folder, SOURCES["csv"]) == []
    with (folder / "large.npy").open("wb") as file:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 3), }"
        file.write(b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n")
        file.truncate(128 + 12_000_000_000)
    (folder / "kind.npy").write_bytes((folder / "arrays/kind.npy").read_bytes())
    assert checked(folder, "file: large.npy, x: large, y: large") == []


def test_a_text(folder: Path) -> None:
    data = "text: t.txt, context: 2, x: characters, y: next_characters"
    spec = TEXT.replace("(output, y)", "(output.flatten(0, 1), y.flatten())")
    assert checked(folder, data, spec) == ["`t.txt` is not there yet"]
    (folder / "t.txt").write_text("")
    assert refused(folder, data, spec).message == "`t.txt` is empty"
    (folder / "t.txt").write_text("to be or not to be")
    assert checked(folder, data, spec) == []


def test_what_is_elsewhere_is_refused(folder: Path) -> None:
    assert refused(folder, f"file: ../t.npz, {X_Y}").code == "data-outside"


def test_what_reads_a_table_may_be_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.extras, "_is_there", lambda name: name != "pyarrow")
    way = "which is not installed: `pip install 'blockprint[data]'`"
    assert checked(folder, SOURCES["csv"]) == [f"`t.csv` is read with `pyarrow`, {way}"]


PLUGIN = """
from pathlib import Path
from compiler.plugins import dataset

@dataset
class lines:
    def __init__(self, path: Path) -> None:
        raise RuntimeError("it is not made")
"""


def test_a_data_set_of_a_plugin_is_not_made_and_its_files_are_looked_for(folder: Path) -> None:
    (folder / "lines.py").write_text(PLUGIN)
    artifact = compiled(f"dataset: lines('rows.txt'), {X_Y}", plugins=(str(folder / "lines.py"),))
    assert artifact.training is not None
    (found,) = check_data(artifact, artifact.training, Folders(folder))
    assert (found.why, found.place.text) == ("`rows.txt` is not there yet", "lines('rows.txt')")
    (folder / "rows.txt").write_text("1")
    assert check_data(artifact, artifact.training, Folders(folder)) == []


def test_neither_lightning_nor_torchmetrics_is_imported_for_it() -> None:
    code = "import sys, runtime.training.checked; print({'pytorch_lightning', 'torchmetrics'} & sys.modules.keys())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
