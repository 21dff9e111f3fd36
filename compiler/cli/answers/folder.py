"""Folders that nobody else can write to, as `ssh` asks of the folder of its keys.

Whoever can write into a folder, or put another one in its place, can change what we read in it. Where that may be
anybody but this user and root, the folder is not used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
CLOSED: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""A pipe does not make us wait, and no other process inherits what is open."""


def open_own_folder(path: Path) -> int | None:
    """Return a handle of a folder that is this user's alone, made where it is not there; None where there is none."""
    if not hasattr(os, "geteuid"):
        return None  # Windows has no such permissions
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = Path(os.path.realpath(path))
        if not all(_is_safe(os.lstat(each), shared=True) for each in real.parents):
            return None
        handle = os.open(real, os.O_RDONLY | os.O_DIRECTORY | CLOSED | NO_LINK)
    except OSError:
        return None
    found = os.fstat(handle)  # of what was opened, should another have taken its place
    if found.st_uid == os.geteuid() and _is_safe(found, shared=False):
        return handle
    os.close(handle)
    return None


def _is_safe(found: os.stat_result, shared: bool) -> bool:
    """Return whether nobody else can change what is in a folder.

    In a `shared` one, such as `/tmp`, others may add, and not replace what is ours.
    """
    if found.st_uid not in (0, os.geteuid()):
        return False
    return not found.st_mode & OTHERS_WRITE or (shared and bool(found.st_mode & stat.S_ISVTX))


def read_own(name: str, folder: int, most: int) -> bytes | None:
    """Return a file of ours, None where it is not there, is longer than `most`, or may be somebody else's."""
    return read_ordinary(name, most, folder, _is_ours)


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & OTHERS_WRITE


def read_ordinary(
    path: str,
    most: int,
    folder: int | None = None,
    may_be_read: Callable[[os.stat_result], bool] = lambda found: True,
) -> bytes | None:
    """Return an ordinary file of at most so many bytes, None where there is none. In a `folder` it is no link."""
    try:
        handle = os.open(path, os.O_RDONLY | CLOSED | (0 if folder is None else NO_LINK), dir_fd=folder)
    except OSError:
        return None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_size <= most and may_be_read(found):
        with os.fdopen(handle, "rb") as file:
            data = file.read(most + 1)
        return data if len(data) <= most else None
    os.close(handle)
    return None


def write_own(name: str, folder: int, data: bytes, replace: bool = True) -> None:
    """Write a file that this user alone may read, all of it or nothing; one that is there stays without `replace`.

    Raises:
        OSError: the system refuses.
    """
    new = f"new-{os.getpid()}-{os.urandom(8).hex()}"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOSED, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if replace:
            os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        _remove(new, folder)


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:  # it has its name, or is gone
        return


def keep_within(folder: int, most_files: int, most_bytes: int) -> None:
    """Remove the oldest files of a folder until so many, of so many bytes together, are left."""
    with os.scandir(folder) as entries:
        stats = [(each.name, each.stat(follow_symlinks=False)) for each in entries]
    files = sorted((f.st_mtime_ns, name, f.st_size) for name, f in stats if not stat.S_ISDIR(f.st_mode))
    total = sum(size for _, _, size in files)
    for place, (_, name, size) in enumerate(files):
        if len(files) - place <= most_files and total <= most_bytes:
            return
        _remove(name, folder)
        total -= size
