"""A file that grows: what is appended is there, or the file is as it was."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.files.atomic import explaining


def append(path: str | Path, data: bytes, durable: bool = False) -> None:
    """Append to a file, and make sure on request that it survives a power cut.

    A process that is killed here may leave a part of the data.

    Raises:
        OSError: it cannot be written, and the file is unchanged.
    """
    with explaining(path, "nothing was written"):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            _append(handle, data)
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)


def _append(handle: int, data: bytes) -> None:
    before, written = os.fstat(handle).st_size, 0
    try:
        while written < len(data):
            written += os.write(handle, data[written:])
    except BaseException:
        os.ftruncate(handle, before)
        raise
