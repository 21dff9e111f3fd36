"""The files that a training reads: where they may lie, what they may be, and how much is read of them."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import compiler
from runtime.train import train
from runtime.training import arrays
from runtime.training.data import Splits, open_data
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.folders import Folders

SPEC = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model: [Linear(2)]
train:
  data: {file: FILE, x: xs, y: ys}
  loss: mse_loss(output, y)
  optimizer: SGD(lr=0.1)
  batch: 4
  epochs: 1
"""
TEXT = """
spec: 1
inputs: {x: "int64[batch, time]"}
model: ["Embedding(300, 8)", Linear(300)]
train:
  data: {text: FILE, context: 4, x: characters, y: next_characters}
  loss: cross_entropy(output.flatten(0, 1), y.flatten())
  optimizer: SGD(lr=0.1)
  batch: 4
  epochs: 1
"""
LIMIT = 10_000
XS, YS = np.ones((8, 4), np.float32), np.zeros((8, 2), np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a spec, with data in it and in a folder beside it."""
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "d.npz", xs=XS, ys=YS)
        (tmp_path / name / "t.txt").write_text("to be or not to be\n" * 9)
    return tmp_path / "own"


def opened(
    folder: Path, file: str, spec: str = SPEC, others: tuple[Path, ...] = (), limit: int = LIMIT
) -> Splits:
    artifact = compiler.compile_text(spec.replace("FILE", file))
    assert artifact.training is not None
    return open_data(artifact, artifact.training, Folders(folder, others), limit)


def refused(folder: Path, file: str, spec: str = SPEC, limit: int = LIMIT) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        opened(folder, file, spec, limit=limit)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.text == file
    return found


# Where they lie.


@pytest.mark.parametrize("spec", [SPEC, TEXT], ids=["arrays", "text"])
@pytest.mark.parametrize("way", ["../other/{}", "{other}/{}", "link", "way/{}", "../none"])
def test_data_elsewhere_are_not_read(folder: Path, spec: str, way: str) -> None:
    name = "d.npz" if spec is SPEC else "t.txt"
    (folder / "link").symlink_to(f"../other/{name}")
    (folder / "way").symlink_to("../other")
    path = way.format(name, other=folder.parent / "other")
    found = refused(folder, path, spec)
    assert (found.code, found.message) == ("data-outside", f"`{path}` is outside the spec's own folder")
    assert found.help is not None
    assert "--data-path" in found.help


@pytest.mark.parametrize("file", ["../other/d.npz", "d.npz", "{other}/d.npz"])
def test_data_in_a_folder_of_the_caller(folder: Path, file: str) -> None:
    (folder / "d.npz").unlink()
    other = folder.parent / "other"
    assert len(opened(folder, file.format(other=other), others=(other,)).train) == 8


def test_the_folder_of_the_caller_reaches_a_training(folder: Path) -> None:
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace("FILE", "../other/d.npz"))
    artifact = compiler.compile(spec)
    with pytest.raises(SpecError, match="data-outside"):
        train(artifact, out=folder / "out", progress=False)
    assert train(artifact, out=folder / "out", progress=False, data_paths=[folder / "../other"]).epochs == 1
    with pytest.raises(SpecError, match="data-too-large"):
        train(artifact, out=folder / "out", progress=False, data_paths=[folder / "../other"], data_limit=99)


# What they are.


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    found = refused(folder, "pipe")
    assert (found.code, found.message) == ("data-broken", "`pipe` is a pipe, and no ordinary file")


@pytest.mark.parametrize("spec", [SPEC, TEXT], ids=["arrays", "text"])
def test_a_folder_is_no_data(folder: Path, spec: str) -> None:
    (folder / "d").mkdir()
    assert refused(folder, "d", spec).message == "`d` is a folder, and no ordinary file"


# How much is read.


def test_a_text_that_is_too_long_is_not_read(folder: Path) -> None:
    size = (folder / "t.txt").stat().st_size
    assert len(opened(folder, "t.txt", TEXT, limit=size).train)
    found = refused(folder, "t.txt", TEXT, limit=size - 1)
    assert (found.code, found.notes) == ("data-too-large", (f"it takes {size} bytes",))


def test_arrays_that_unpack_to_too_much_are_not_read(folder: Path) -> None:
    np.savez_compressed(
        folder / "d.npz", xs=np.ones((2_500, 4), np.float32), ys=np.zeros((2_500, 2), np.float32)
    )
    assert (folder / "d.npz").stat().st_size < LIMIT
    found = refused(folder, "d.npz")
    assert (found.code, found.notes) == ("data-too-large", (f"its arrays take {2_500 * 24 + 256:,} bytes",))


def written(path: Path, xs: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """Write an archive whose one array is as given, byte for byte."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("xs.npy", xs)
        archive.writestr("ys.npy", whole(YS))


def whole(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def announced(shape: str, data: bytes, descr: str = "'<f4'", version: bytes = b"\1\0") -> bytes:
    """An array with a header that says something else than there is."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header + data


@pytest.mark.parametrize(
    ("xs", "why"),
    {
        "more than there is": (announced("(1000000000000, 4)", b"\0" * 128), "does not fit its size"),
        "less than there is": (announced("(2, 4)", b"\0" * 128), "does not fit its size"),
        "less than nothing": (announced("(-8, -4)", b"\0" * 128), "does not fit its size"),
        "no numbers": (announced("(True, 32)", b"\0" * 128), "does not fit its size"),
        "objects": (announced("(8,)", b"\0" * 64, "'|O'"), "object arrays are pickles"),
        "objects in a record": (announced("(8,)", b"\0" * 64, "[('a', '|O')]"), "object arrays are pickles"),
        "another version": (announced("(8, 4)", b"\0" * 128, version=b"\3\0"), "holds no plain array"),
        "no shape": (announced("8", b""), "shape"),
        "no dtype": (announced("(8,)", b"", "'nothing'"), "descr"),
        "no header": (
            b"\x93NUMPY\1\0\x20\0{'descr': (((((((((((((((((((((((",
            "the header of a member is none",
        ),
        "a long header": (announced("(8, 4)" + " " * 20_000, b"\0" * 128), "large"),
        "nothing": (b"", "EOF|magic"),
        "a text": (b"something else" * 20, "magic"),
    }.values(),
)
def test_an_array_is_what_its_header_says(folder: Path, xs: bytes, why: str) -> None:
    written(folder / "d.npz", xs)
    found = refused(folder, "d.npz", limit=100_000)
    assert found.code == "data-broken"
    assert why.split("|")[0] in found.message or why.split("|")[-1] in found.message


def test_a_list_of_members_that_is_too_long_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "LONGEST_READ", 1 << 17)
    with zipfile.ZipFile(folder / "d.npz", "w") as archive:
        for number in range(1_500):
            archive.writestr(f"{'n' * 100}{number}.npy", b"")
    found = refused(folder, "d.npz", limit=10**7)
    assert found.message.endswith("Truncated central directory")


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_without_bound_is_not_unpacked(folder: Path, packed: int) -> None:
    written(folder / "d.npz", whole(XS), packed)
    assert "packed in an unusual way" in refused(folder, "d.npz").message


def test_a_member_is_read_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LONGEST_READ", 1_000)
    draws = np.random.RandomState(0).normal(size=(500, 4)).astype(np.float32)
    for write in (np.savez, np.savez_compressed):
        write(folder / "d.npz", xs=draws, ys=draws[:, :2])
        assert torch.equal(
            opened(folder, "d.npz", limit=100_000).train[torch.arange(500)]["x"], torch.from_numpy(draws)
        )


def test_what_no_field_names_is_not_read(folder: Path) -> None:
    np.savez(folder / "d.npz", xs=XS, ys=YS, more=np.array([None], dtype=object))
    assert len(opened(folder, "d.npz").train) == 8


def test_characters_are_numbered_in_the_order_of_their_code_points(folder: Path) -> None:
    (folder / "t.txt").write_bytes("b\u00e9a\U0001f600\r\nb\u00e9ab\u00e9a".encode())
    batch = opened(folder, "t.txt", TEXT).train[torch.tensor([0])]
    assert batch["x"].tolist() == [[2, 3, 1, 4]]
    assert batch["y"].tolist() == [[3, 1, 4, 0]]


def test_an_empty_text_is_too_little(folder: Path) -> None:
    (folder / "t.txt").write_text("")
    assert refused(folder, "t.txt", TEXT).code == "too-little-data"
