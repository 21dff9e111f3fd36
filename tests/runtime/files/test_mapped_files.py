"""Files that nobody can change are mapped, not copied, and checked as every other; all others are copied."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import compiler
import runtime
from runtime.files import sealed
from runtime.files.header import DTYPES, FileError
from runtime.files.sealed import read_file, write_sealed
from runtime.files.unchangeable import unchangeable
from tests.runtime.files.test_sealed_files import ABOUT, HOSTILE, TENSORS, assert_equal

SPEC = "spec: 1\ninputs:\n  x: float[batch, 4]\nmodel: [Linear(16), Linear(16)]\n"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path whose file is taken for one that nobody can change."""
    monkeypatch.setattr(sealed, "unchangeable", lambda descriptor: True)
    return tmp_path / "file"


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Path]:
    """Yield a path whose file this file system keeps from being changed, once the test has it written."""
    (tmp_path / "probe").touch()
    if not _mark(tmp_path / "probe", "+i"):
        pytest.skip("no file can be marked as immutable here")
    _mark(tmp_path / "probe", "-i")
    yield tmp_path / "file"
    _mark(tmp_path / "file", "-i")


def _mark(path: Path, flag: str) -> bool:
    try:
        return subprocess.run(["chattr", flag, path], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_what_is_immutable_is_mapped_and_never_changed(immutable: Path) -> None:
    write_sealed(immutable, "test", ABOUT, TENSORS)
    assert not _is_unchangeable(immutable)
    assert _mark(immutable, "+i")
    assert _is_unchangeable(immutable)
    found = read_file(immutable).tensors
    assert_equal(found, TENSORS)
    found["w"].zero_()
    assert_equal(read_file(immutable).tensors, TENSORS)
    with pytest.raises(PermissionError):
        immutable.write_bytes(b"")


def _is_unchangeable(path: Path) -> bool:
    with path.open("rb") as stream:
        return unchangeable(stream.fileno())


def test_nothing_of_a_mapped_file_is_read_but_its_header(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sealed(locked, "test", {}, {"w": torch.arange(2.0**19), "v": torch.arange(2.0**19)})
    read: list[int] = []
    monkeypatch.setattr(sealed._Reader, "_fill", lambda reader, chunk: read.append(len(chunk)))
    assert torch.equal(read_file(locked).tensors["v"], torch.arange(2.0**19))
    assert read == []


def test_a_file_that_can_be_changed_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sealed(tmp_path / "file", "test", {}, {"w": torch.arange(2.0**19), "v": torch.arange(5.0)})
    read: list[int] = []
    fill = sealed._Reader._fill

    def counted(reader: sealed._Reader, chunk: memoryview) -> None:
        read.append(len(chunk))
        fill(reader, chunk)

    monkeypatch.setattr(sealed._Reader, "_fill", counted)
    read_file(tmp_path / "file")
    assert sum(read) == 4 * (2**19 + 5)


def test_tensors_are_whole_aligned_and_of_every_dtype(locked: Path) -> None:
    bits = torch.randint(0, 2, (24,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    tensors = {name: bits.view(dtype) for name, dtype in DTYPES.items()}
    write_sealed(locked, "test", {}, tensors)
    found = read_file(locked).tensors
    for name, tensor in tensors.items():
        assert torch.equal(found[name].view(torch.uint8), tensor.view(torch.uint8)), name
        assert found[name].data_ptr() % 64 == 0, name
    write_sealed(locked, "test", ABOUT, TENSORS)
    assert_equal(read_file(locked).tensors, TENSORS)


def test_every_flipped_byte_is_noticed(locked: Path) -> None:
    write_sealed(locked, "test", ABOUT, TENSORS)
    data = locked.read_bytes()
    for at in range(len(data)):
        locked.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            contents = read_file(locked)
        except FileError:
            continue
        assert not contents.about, at


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_header_is_refused(data: bytes, locked: Path) -> None:
    locked.write_bytes(data)
    with pytest.raises(FileError, match=r"is no safetensors file|is damaged"):
        read_file(locked)


def test_a_model_in_a_mapped_file_is_trained_and_saved_as_any_other(locked: Path) -> None:
    model = runtime.build(compiler.compile_text(SPEC), device="cpu")
    digest = runtime.save(model, locked)
    loaded = runtime.load(locked, train=True)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1)
    assert read_file(locked).digest == digest
    assert runtime.save(loaded, locked.with_name("other")) != digest
    loaded.share_memory()
    assert all(parameter.is_shared() for parameter in loaded.parameters())  # type: ignore[no-untyped-call]
