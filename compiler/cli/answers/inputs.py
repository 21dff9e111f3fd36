"""The files that an answer follows from, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from compiler.cli.answers.folder import read_ordinary

MOST = 64 * 2**20
"""Bytes of a file that is read again."""


class Input(NamedTuple):
    """A file that was read, or looked for. Paths are absolute."""

    path: str
    real: str
    """Where it is, links followed."""
    digest: str | None
    """That of what was read; None if there was no file."""

    def is_same(self) -> bool:
        """Return whether there is the same file today."""
        if os.path.realpath(self.path) != self.real:
            return False
        return _digest_now(self.path) == self.digest if self.digest else not os.path.lexists(self.path)


def read_as(path: str, data: bytes | None) -> Input:
    """Return an input as it was read: `data` is None if there was no such file."""
    full = os.path.abspath(path)
    return Input(full, os.path.realpath(full), None if data is None else _digest(data))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_now(path: str) -> str | None:
    """Return the digest of an ordinary file, None if there is none."""
    data = read_ordinary(path, MOST)
    return None if data is None else _digest(data)
