"""Exports are made aside, tried there, and put in place when all that was asked for is right."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from runtime.files.atomic import explaining, sync_folder, write_whole


@contextmanager
def aside() -> Iterator[Path]:
    """Give a folder for what is tried before it is put in place."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def check_file_target(path: Path) -> None:
    """Raise OSError where a file can surely not be written."""
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "is no ordinary file", str(path))
    _check_writable(path)


def check_folder_target(path: Path) -> None:
    """Raise OSError where a new folder can surely not be made."""
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "is there already: name a new folder", str(path))
    _check_writable(path)


def _check_writable(path: Path) -> None:
    near = next(each for each in path.absolute().parents if os.path.lexists(each))
    with explaining(path, "nothing was written"), tempfile.TemporaryFile(dir=near):
        return


def put_file(staged: Path, path: Path) -> None:
    """Write a file that was made aside, in one step."""
    write_whole(path, partial(_copy, staged))


def put_folder(staged: Path, path: Path) -> None:
    """Write a folder that was made aside, in one step."""
    check_folder_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}-{secrets.token_hex(8)}.tmp"
    try:
        for each in sorted(staged.iterdir()):
            put_file(each, temporary / each.name)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        sync_folder(handle)
    finally:
        os.close(handle)


def _copy(source: Path, stream: BinaryIO) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, stream, 2**20)
