"""Which files a spec may name, and how they are opened.

A spec may come from a stranger. What it names lies below its own folder, or below one that the caller names, wherever
links lead; and it is an ordinary file: a pipe would make the reader wait, and to open a device may do something.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


class OutsideError(Exception):
    """A path leads out of the folders that are allowed."""


class NoFileError(Exception):
    """What a path leads to is no ordinary file. The text says what it is."""


@dataclass(frozen=True)
class Folders:
    """The folder of a spec, and those that the caller names."""

    own: Path
    others: tuple[Path, ...] = ()

    def find(self, path: str) -> Path:
        """Return the file or folder that a spec names, links followed. It is looked for in each of the folders.

        Raises:
            OutsideError: it would lie in none of them. Whether it is there is not told.
            FileNotFoundError: it would, and is not there.
        """
        if "\0" in path:  # which no name of a file holds
            raise FileNotFoundError(path)
        allowed = [Path(os.path.realpath(folder)) for folder in (self.own, *self.others)]
        meant = [Path(os.path.realpath(folder / path)) for folder in allowed]
        inside = [each for each in meant if any(each.is_relative_to(folder) for folder in allowed)]
        for each in inside:
            # A name too long for the system names no file; a link that is left leads to itself.
            if os.path.lexists(each):
                return each
        raise FileNotFoundError(path) if inside == meant else OutsideError(path)


def normal(path: str) -> str | None:
    """Return a relative path without `..`, or None if it leaves the folder that it starts from."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def open_file(path: Path) -> BinaryIO:
    """Open an ordinary file, and nothing else: no link, and nothing that waits or acts when it is opened.

    Raises:
        NoFileError: it is something else.
        OSError: it is not there, or may not be read.
    """
    _check(os.lstat(path))
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(os.fstat(handle))  # what was opened, should another have taken its place
    except NoFileError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _check(found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise NoFileError(_KINDS.get(kind, "something else"))
