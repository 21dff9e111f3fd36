"""The record of a call that is under way: what it reads, what it prints, and whether that may be kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import BufferedIOBase, TextIOWrapper
from typing import Any, BinaryIO

from compiler.cli.answers.inputs import Input, read_as

Piece = tuple[int, bytes]
"""What was printed at once, on standard output (1) or standard error (2)."""


@dataclass(eq=False)
class Record:
    """What one call reads and prints."""

    most: int
    """Bytes that are kept."""
    inputs: list[Input] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0
    spoilt: bool = False
    """Whether the answer follows something that is not in `inputs`."""

    @property
    def is_whole(self) -> bool:
        return bool(self.inputs) and not self.spoilt

    def add(self, number: int, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.most:
            self.spoilt = True
            self.pieces.clear()
        if not self.spoilt:
            self.pieces.append((number, data))


_current: ContextVar[Record | None] = ContextVar("_current", default=None)


def note_file(path: str, data: bytes | None) -> None:
    """Note a file that was read, or that was looked for and not there."""
    record = _current.get()
    if record is not None:
        record.inputs.append(read_as(path, data))


def spoil() -> None:
    """Note that the answer follows more than the files that are noted, or does more than to print."""
    record = _current.get()
    if record is not None:
        record.spoilt = True


class _Copying(BufferedIOBase):
    """Hands on what is printed, and keeps it."""

    def __init__(self, stream: BinaryIO, number: int, record: Record) -> None:
        self.stream, self.number, self.record = stream, number, record
        self.name = stream.name

    def write(self, data: Any) -> int:
        self.record.add(self.number, bytes(data))
        return self.stream.write(data)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def writable(self) -> bool:
        return True


@contextmanager
def recording(record: Record) -> Iterator[None]:
    """Record what is printed, for the time of a `with`."""
    before = sys.stdout, sys.stderr
    token = _current.set(record)
    sys.stdout, sys.stderr = _copied(sys.stdout, 1, record), _copied(sys.stderr, 2, record)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)
        sys.stdout, sys.stderr = before
        _current.reset(token)


def _copied(stream: Any, number: int, record: Record) -> TextIOWrapper:
    return TextIOWrapper(
        _Copying(stream.buffer, number, record),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _let_go(stream: Any) -> None:
    try:
        stream.flush()
        stream.detach()
    except (OSError, ValueError):  # nobody reads on: that was told before
        return
