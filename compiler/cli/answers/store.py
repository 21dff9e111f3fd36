"""Where answers are kept, and which are believed: those that bear our seal alone.

The key of the seal lies in another folder than the answers. Who can write the answers alone, say because a cache was
unpacked from an archive, can make us forget them, and never make us print anything.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from compiler.cli.answers.folder import keep_within, open_own_folder, read_own, write_own

VARIABLE = "BLOCKPRINT_CACHE"
OFF = ("", "0", "off")
MOST_ANSWERS = 512
MOST_BYTES = 64 * 2**20
LARGEST = 4 * 2**20
"""Bytes of one answer."""
KEY, KEY_BYTES, SEAL_BYTES = "answers.key", 32, 32


@dataclass(frozen=True)
class Store:
    """The folder of the answers, as a handle, and the key of the seal."""

    folder: int
    key: bytes

    def read(self, name: str) -> bytes | None:
        """Return what was kept by a name, None if there is nothing that bears our seal for that name."""
        data = read_own(name, self.folder, LARGEST + SEAL_BYTES)
        if data is None:
            return None
        seal, text = data[:SEAL_BYTES], data[SEAL_BYTES:]
        return text if hmac.compare_digest(seal, self._seal(name, text)) else None

    def write(self, name: str, text: bytes) -> None:
        """Keep a text by a name. What is older goes where there is too much."""
        if len(text) > LARGEST:
            return
        try:
            write_own(name, self.folder, self._seal(name, text) + text)
            keep_within(self.folder, MOST_ANSWERS, MOST_BYTES)
        except OSError:  # a full disk is no reason to fail
            return

    def _seal(self, name: str, text: bytes) -> bytes:
        return hmac.digest(self.key, name.encode() + b"\n" + text, "sha256")


def open_store() -> Store | None:
    """Return the store of this user; None where there shall be none, or where it would not be this user's alone."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None and chosen.lower() in OFF:
        return None
    folder = open_own_folder(Path(chosen) if chosen else _base("XDG_CACHE_HOME", ".cache") / "blockprint")
    key = _key() if folder is not None else None
    return Store(folder, key) if folder is not None and key is not None else None


def _base(variable: str, usual: str) -> Path:
    """Return a folder of the XDG Base Directory Specification, which ignores paths that are not absolute."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path(os.path.expanduser("~"), usual)


def _key() -> bytes | None:
    """Return the key of the seal, made at the first call."""
    folder = open_own_folder(_base("XDG_STATE_HOME", ".local/state") / "blockprint")
    if folder is None:
        return None
    try:
        found = read_own(KEY, folder, KEY_BYTES)
        if found is None:
            write_own(KEY, folder, os.urandom(KEY_BYTES), replace=False)
            found = read_own(KEY, folder, KEY_BYTES)
    except OSError:
        return None
    finally:
        os.close(folder)
    return found if found is not None and len(found) == KEY_BYTES else None
