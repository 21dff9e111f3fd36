"""Reads arrays from an .npz file, a zip of .npy files, without trusting it.

Sizes are held against each other, and against the limit, before anything of that size is read: of the list of members,
of what they unpack to, and of the array that a header announces.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from io import BufferedIOBase
from tokenize import TokenError
from typing import IO, Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from numpy.lib import format as npy

ENDING = ".npy"
LONGEST_READ = 1 << 20
"""Bytes that are read at once: more than the list of some ten thousand members takes."""
LONGEST_HEADER = 10_000
"""Characters of the header of an array; the reader of numpy has the same limit."""
_ENCRYPTED = 1
_NO_HEADER = (SyntaxError, TokenError, RecursionError, MemoryError)
"""What the reader of headers lets through: it has Python parse them, which runs nothing."""
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class TooLargeError(ValueError):
    """There is more data than the caller allows."""


def read_arrays(file: BinaryIO, wanted: Collection[str], limit: int) -> dict[str, Any]:
    """Return the arrays of a file by name; those that are not wanted are None, and are not read.

    Raises:
        TooLargeError: its members unpack to more than `limit` bytes.
        ValueError: it is no .npz file of plain arrays. Readers of zip files and of arrays raise many errors besides.
    """
    with ZipFile(_Bounded(file)) as archive:
        members = _members(archive, limit)
        return {n: _array(archive, member) if n in wanted else None for n, member in members.items()}


def read_headers(
    file: BinaryIO, wanted: Collection[str], limit: int
) -> dict[str, tuple[tuple[int, ...], Any] | None]:
    """Return shape and dtype of the arrays of a file by name, None for those that are not wanted.

    Raises:
        TooLargeError, ValueError: as `read_arrays`.
    """
    with ZipFile(_Bounded(file)) as archive:
        members = _members(archive, limit)
        return {n: _header(archive, member) if n in wanted else None for n, member in members.items()}


def _members(archive: ZipFile, limit: int) -> dict[str, ZipInfo]:
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > limit:
        raise TooLargeError(f"its arrays take {total:,} bytes")
    return {member.filename.removesuffix(ENDING): member for member in members}


class _Bounded(BufferedIOBase):
    """A file for the reader of zip files, which reads the list of members in one piece, as long as the file says it is.

    It gets the beginning of one that is too long, which it refuses; a member it reads in pieces of any length.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        return self.file.read(LONGEST_READ if whole else min(size or 0, LONGEST_READ))


def _header(archive: ZipFile, member: ZipInfo) -> tuple[tuple[int, ...], Any]:
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError("a member is encrypted, or packed in an unusual way")
    with archive.open(member) as stream:
        shape, _, dtype = check_header(stream, member.file_size)
    return shape, dtype


def _array(archive: ZipFile, member: ZipInfo) -> Any:
    _header(archive, member)
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False, max_header_size=LONGEST_HEADER)


def check_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, Any]:
    """Return shape, order and dtype of an array, which is what its header says, and takes exactly the file's bytes."""
    version = npy.read_magic(stream)
    if version not in _READERS:
        raise ValueError("a member is of a version that holds no plain array")
    try:
        shape, fortran, dtype = _READERS[version](stream, max_header_size=LONGEST_HEADER)
    except _NO_HEADER as error:
        raise ValueError("the header of a member is none") from error
    if dtype.hasobject:
        raise ValueError("object arrays are pickles, which could run code")
    if (
        any(type(length) is not int or length < 0 for length in shape)
        or math.prod(shape) * dtype.itemsize != size - stream.tell()
    ):
        raise ValueError("what its header says does not fit its size")
    return shape, fortran, dtype
