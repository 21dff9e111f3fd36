"""A file is written whole and durable, or not at all: the order of it, what may go wrong, and who writes at once."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from runtime.files import atomic
from runtime.files.atomic import write_whole

OLD, NEW = b"old" * 1000, b"new" * 2000


def put(data: bytes) -> Callable[[BinaryIO], int]:
    return lambda stream: stream.write(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# The order: write, fsync, rename, fsync of the folder.


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the system, in order. A written file is known by its size at that moment."""
    calls: list[str] = []

    def traced(name: str, describe: Callable[..., str]) -> None:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(f"{name} {describe(*args)}")
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    def kind(handle: int) -> str:
        status = os.fstat(handle)
        return "folder" if stat.S_ISDIR(status.st_mode) else f"file of {status.st_size}"

    traced("fsync", kind)
    traced("fchmod", lambda handle, mode: f"{kind(handle)} {mode:o}")
    traced("replace", lambda source, target: f"{Path(source).stat().st_size} to {Path(target).name}")
    return calls


ORDER = ["fsync file of 6000", "replace 6000 to file", "fsync folder"]


def test_it_is_written_then_synced_then_renamed_then_the_folder_synced(
    tmp_path: Path, trace: list[str]
) -> None:
    write_whole(tmp_path / "file", put(NEW))
    assert trace == ORDER
    trace.clear()
    (tmp_path / "file").chmod(0o606)
    write_whole(tmp_path / "file", put(NEW))
    assert trace == ["fchmod file of 6000 606", *ORDER]


def test_new_folders_are_made_durable_too(tmp_path: Path, trace: list[str]) -> None:
    write_whole(tmp_path / "a" / "b" / "file", put(NEW))
    assert trace == ["fsync folder", "fsync folder", *ORDER]


SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("atomic", sys.argv[1])
atomic = importlib.util.module_from_spec(spec)
spec.loader.exec_module(atomic)
atomic.write_whole(sys.argv[2], lambda stream: stream.write(b"new" * 2000))
"""
CALL = re.compile(r"^(?:\d+ +)?(write|pwrite64|fsync|rename\w*|openat|close)\((.*)\) += (\d+)")


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", os.devnull, "true"]).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="there is no strace that may look at system calls")
def test_the_system_is_asked_in_that_order(tmp_path: Path) -> None:
    log, target = tmp_path / "trace", tmp_path / "file"
    command = ["strace", "-f", "-o", log, "-e", "trace=openat,write,pwrite64,fsync,/^rename,close"]
    subprocess.run(
        [*command, sys.executable, "-S", "-c", SCRIPT, atomic.__file__, target], check=True, timeout=60
    )
    opened: dict[str, str] = {}
    calls = []
    for line in log.read_text().splitlines():
        if (found := CALL.match(line)) is None:
            continue
        name, arguments, result = found.groups()
        handle = arguments.split(",")[0]
        if name == "openat":
            opened[result] = arguments
        elif name == "close":
            opened.pop(handle, None)
        elif name.startswith("rename") or ".blockprint-" in opened.get(handle, ""):
            calls.append(name.rstrip("at2"))
        elif name == "fsync":
            calls.append(f"fsync {'folder' if str(tmp_path) in opened[handle] else '?'}")
    assert calls == ["write", "fsync", "rename", "fsync folder"]


# What goes wrong leaves the older file whole, and nothing beside it.


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("existing", [OLD, None])
def test_a_full_disk_leaves_the_old_file(existing: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if existing is not None:
        path.write_bytes(existing)
    with largest_file(4096), pytest.raises(OSError, match=r"too large; nothing was written") as caught:
        write_whole(path, put(NEW))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert names(tmp_path) == (["file"] if existing is not None else [])
    assert existing is None or path.read_bytes() == existing


@pytest.mark.parametrize("failing", ["fsync", "replace", "open", "fchmod"])
def test_whatever_fails_leaves_the_old_file(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    path.chmod(0o606)
    original = os.open

    def fail(*args: Any) -> Any:
        if failing == "open" and not str(args[0]).endswith(".tmp"):
            return original(*args)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left on device; nothing was written") as caught:
        write_whole(path, put(NEW))
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_an_interrupt_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def interrupted(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_synced_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, original = tmp_path / "file", os.fsync

    def fail(handle: int, error: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(error, os.strerror(error))
        original(handle)

    monkeypatch.setattr(os, "fsync", lambda handle: fail(handle, errno.EIO))
    with pytest.raises(OSError, match="it is written, but may not survive a power cut"):
        write_whole(path, put(NEW))
    assert path.read_bytes() == NEW
    monkeypatch.setattr(os, "fsync", lambda handle: fail(handle, errno.EINVAL))
    write_whole(path, put(OLD))  # the file system has no such thing
    assert path.read_bytes() == OLD


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_whole(path, put(OLD))
    path.parent.chmod(0o555)
    with pytest.raises(PermissionError, match="nothing was written"):
        write_whole(path, put(NEW))
    path.parent.chmod(0o755)
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["file"]


def test_what_may_not_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that may only be read; root, who may do all, sees it too."""
    path, original = tmp_path / "file", os.open
    path.write_bytes(OLD)

    def refuse(name: Any, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), name)
        return original(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match="Permission denied; nothing was written") as caught:
        write_whole(path, put(NEW))
    assert caught.value.filename == str(path)
    monkeypatch.undo()
    assert path.read_bytes() == OLD
    (tmp_path / "no_folder").touch()
    with pytest.raises(OSError, match="nothing was written"):
        write_whole(tmp_path / "no_folder" / "file", put(NEW))


# What stays as it is: modes, links.


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_mode_and_umask_are_kept(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        write_whole(path, put(OLD))
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        for mode in (0o600, 0o664, 0o444):
            path.chmod(mode)
            write_whole(path, put(NEW))
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_nobody_reads_a_private_file_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o600)

    def write(stream: BinaryIO) -> None:
        stream.write(NEW)
        assert stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == 0o600

    write_whole(path, write)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/file")
    for data in (OLD, NEW):
        write_whole(link, put(data))
        assert link.is_symlink()
        assert (tmp_path / "folder" / "file").read_bytes() == data
    assert names(tmp_path / "folder") == ["file"]


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe stands for devices: a guard that fails must not cost the one who runs this `/dev/null`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(FileExistsError, match="is no ordinary file"):
            write_whole(path, put(NEW))
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


# What killed savers left, and living ones.


def test_what_a_killed_saver_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / f".blockprint-{'0' * 16}.tmp"
    stale.write_bytes(b"half")
    kept = [
        ".blockprint-notes.tmp",
        ".file.tmp",
        f"blockprint-{'0' * 16}.tmp",
        f".blockprint-{'0' * 16}.tmp2",
        f".blockprint-{'g' * 16}.tmp",
    ]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f".blockprint-{'1' * 16}.tmp").symlink_to(tmp_path / kept[0])
    (tmp_path / f".blockprint-{'2' * 16}.tmp").mkdir()
    write_whole(tmp_path / "file", put(NEW))
    left = [*kept, "file", f".blockprint-{'1' * 16}.tmp", f".blockprint-{'2' * 16}.tmp"]
    assert names(tmp_path) == sorted(left)


def test_the_file_of_a_living_saver_is_not_swept(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def interrupted_by_another(stream: BinaryIO) -> None:
        write_whole(path, put(OLD))  # sweeps
        stream.write(NEW)

    write_whole(path, interrupted_by_another)
    assert path.read_bytes() == NEW
    assert names(tmp_path) == ["file"]


def test_a_saver_whose_file_is_swept_before_it_is_locked_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, swept = fcntl.flock, []

    def slow(handle: int, operation: int) -> None:
        if not swept and not operation & fcntl.LOCK_NB:
            swept.extend(names(tmp_path))
            atomic.sweep(tmp_path)
        original(handle, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    write_whole(tmp_path / "file", put(NEW))
    assert len(swept) == 1
    assert names(tmp_path) == ["file"]


def test_an_interruption_while_the_file_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(OLD)

    def interrupted(handle: int, operation: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", put(NEW))
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == OLD


def test_without_locks_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = f".blockprint-{'0' * 16}.tmp"
    (tmp_path / stale).touch()

    def unsupported(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    write_whole(tmp_path / "file", put(NEW))
    assert names(tmp_path) == [stale, "file"]


def test_of_savers_at_once_the_last_wins_and_each_file_is_whole(tmp_path: Path) -> None:
    path, errors, seen = tmp_path / "file", [], set()
    write_whole(path, put(b"0" * 5000))

    def save(mark: int) -> None:
        try:
            for _ in range(20):
                write_whole(path, put(str(mark).encode() * 5000))
        except OSError as error:
            errors.append(error)

    savers = [threading.Thread(target=save, args=(mark,)) for mark in range(1, 5)]
    for saver in savers:
        saver.start()
    while any(saver.is_alive() for saver in savers):
        seen.add(path.read_bytes())
    assert errors == []
    assert {len(data) for data in seen} == {5000}
    assert all(len(set(data)) == 1 for data in seen)
    assert names(tmp_path) == ["file"]
