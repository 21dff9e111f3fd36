"""A file is written beside its place, made durable, and moved there in one step: all of it or nothing.

The order is what makes it safe: write, fsync, rename, fsync of the folder. After a crash at any moment the place holds
the older file or the new one, whole; once `write_whole` has returned it holds the new one, even if the power goes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")

TEMPORARY = re.compile(r"\.blockprint-[0-9a-f]{16}\.tmp")
"""How a file is called while it is written. What a killed process left is known by this, and by its open lock."""


def write_whole(path: str | Path, write: Callable[[BinaryIO], T]) -> T:
    """Write a file in one step, durable when this returns. A link is followed, mode and umask are kept.

    Of several processes that write the same file at once, the last one wins, and each of them writes a whole file.

    Raises:
        OSError: it cannot be written, and an older file is unchanged; or what is there is no ordinary file, such as
            `/dev/null`.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "is no ordinary file", str(path))
    with explaining(path, "nothing was written"):
        _make_folder(target.parent)
        sweep(target.parent)
        folder = os.open(target.parent, os.O_RDONLY)
    try:
        with explaining(path, "nothing was written"):
            result = _replace(target, write)
        with explaining(path, "it is written, but may not survive a power cut"):
            sync_folder(folder)
    finally:
        os.close(folder)
    return result


def sweep(folder: Path) -> None:
    """Remove what savers that were killed have left in a folder. A living saver holds a lock on its own."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            _remove_stale(path)


def sync_folder(folder: int) -> None:
    """Make the names in an open folder durable."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system has no such thing
            raise


def _replace(target: Path, write: Callable[[BinaryIO], T]) -> T:
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    temporary = target.parent / f".blockprint-{secrets.token_hex(8)}.tmp"
    try:  # an interruption may come at any moment, also while the file is made
        handle = _create(temporary, 0o666 if mode is None else mode)
        with open(handle, "wb") as stream:  # the lock ends with it
            result = write(stream)
            stream.flush()
            if mode is not None and os.fstat(handle).st_mode & 0o777 != mode:
                os.fchmod(handle, mode)
            os.fsync(handle)
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return result


def _create(path: Path, mode: int) -> int:
    """Return a new file that is locked. The system applies the umask to its mode."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        _lock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # swept before it was locked


def _remove_stale(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return  # in its place by now, or somebody else's
    try:
        if _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB) and os.path.samestat(os.fstat(handle), path.stat()):
            path.unlink()
    except FileNotFoundError:
        return  # in its place by now
    finally:
        os.close(handle)


def _lock(handle: int, operation: int) -> bool:
    """Return whether a file could be locked: not if it is locked already, or the file system has no locks."""
    try:
        fcntl.flock(handle, operation)
    except OSError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        handle = os.open(each.parent, os.O_RDONLY)
        try:
            sync_folder(handle)
        finally:
            os.close(handle)


@contextmanager
def explaining(path: str | Path, outcome: str) -> Iterator[None]:
    """Let an error of the system name the file that was meant, not the temporary one, and say what came of it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{error.strerror}; {outcome}", str(path)) from error
