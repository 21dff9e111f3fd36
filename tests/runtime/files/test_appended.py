"""What is appended to a file is there, or the file is as it was."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from runtime.files.appended import append


def test_a_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for data in (b"one", b"", b"two"):
        append(path, data)
    assert path.read_bytes() == b"onetwo"


@pytest.mark.parametrize("durable", [False, True])
def test_it_is_durable_on_request(durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    append(tmp_path / "log", b"one", durable)
    assert bool(synced) == durable


def test_a_full_disk_leaves_no_part_of_it(tmp_path: Path) -> None:
    """The system writes what there is room for, and says at the next write that there is none."""
    path = tmp_path / "log"
    path.write_bytes(b"old" * 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="nothing was written") as caught:
            append(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old" * 1000
