"""Sealed files: ordinary safetensors with one key of metadata, and a digest over every byte of the file.

The digest is that of the file with its own 64 characters set to zeros. They stand at the same place in each file, so
that it is checked without understanding the file: nothing in a file that is damaged is believed.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from blake3 import blake3
from torch import Tensor

from runtime.files.atomic import write_whole
from runtime.files.header import (
    ALIGNMENT,
    LONGEST,
    METADATA,
    Entry,
    FileError,
    read_header,
    shown,
    strict_json,
    write_header,
)
from runtime.files.unchangeable import unchangeable
from runtime.memory import MEMORY_SHARE, available_memory

KEY = "blockprint"
"""The one key of the metadata."""
FORMAT = 2
"""The version of the format. The first one had no digest."""

EARLIER = {"blockprint-tensors/1", "blockprint-checkpoint/1"}
"""First formats of what is no model."""

START = f'{{"{METADATA}":{{"{KEY}":"{{\\"digest\\":\\"'.encode()
"""How the header of every sealed file begins: the digest follows."""
PLACE = 8 + len(START)
DIGITS = 64
CHUNK = 2**20

BLOCK = 512
"""Bytes: the unit in which a system counts how much of a file is on the disk."""
LARGE, HOLES = 2**30, 10
"""A file of so many bytes, less than a tenth of them on the disk, cannot be one that was saved."""
ALLOWED = ", or give `--allow-large`, `allow_large=True` in Python, to read it all the same"

WIDENED = (torch.complex32, torch.complex128)
"""What safetensors has no name for, and is stored as pairs of real numbers."""


@dataclass(frozen=True)
class Contents:
    """What a file holds. `about` is empty, and `digest` None, if it is not sealed."""

    about: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(repr=False)
    digest: str | None
    metadata: Mapping[str, str] = field(repr=False)


# Writing.


Values = Callable[[str], Tensor]
"""Gives the values of a tensor when they are to be written."""


def write_sealed(
    path: str | Path,
    kind: str,
    about: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    values: Values | None = None,
) -> str:
    """Write a sealed file, all of it or nothing, and return its digest.

    The same values give the same bytes. One tensor at a time is brought to the CPU; none is copied without need.
    `values` are asked for one by one, in the order of `stored_order`, if they are not what `tensors` hold.

    Raises:
        OSError: it cannot be written; an older file is unchanged.
        TypeError, ValueError: a tensor is of a dtype, or has a name, that a file cannot hold.
    """
    return write_whole(path, lambda stream: seal(stream, kind, about, tensors, values))


def stored_order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names in the order in which a file has them, so that all are aligned."""
    return sorted(tensors, key=lambda name: (-_stored_dtype(tensors[name]).itemsize, name))


def seal(
    stream: BinaryIO,
    kind: str,
    about: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    values: Values | None = None,
) -> str:
    """Write a sealed file to a stream, and return its digest."""
    order, given = stored_order(tensors), values or tensors.__getitem__
    widened = sorted(name for name in order if tensors[name].dtype in WIDENED)
    told = {"format": FORMAT, "kind": kind, **about, **({"complex": widened} if widened else {})}
    digest = blake3()

    def put(data: bytes | memoryview) -> None:
        for at in range(0, len(data), CHUNK):
            digest.update(data[at : at + CHUNK])
            stream.write(data[at : at + CHUNK])

    put(write_header(_metadata(told), ((name, *_stored_form(tensors[name])) for name in order)))
    for name in order:
        put(_bytes(_stored(given(name))))
    found = digest.hexdigest()
    stream.seek(PLACE)
    stream.write(found.encode())
    return found


def _metadata(told: Mapping[str, Any]) -> str:
    """Return the metadata as JSON. The digest stands first, all else in the order of its keys."""
    about = {"digest": "0" * DIGITS, **dict(sorted(told.items()))}
    text = json.dumps(about, separators=(",", ":"), allow_nan=False)
    return json.dumps({KEY: text}, separators=(",", ":"))


def _stored_dtype(tensor: Tensor) -> torch.dtype:
    return tensor.dtype.to_real() if tensor.dtype in WIDENED else tensor.dtype


def _stored_form(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    pair = (2,) if tensor.dtype in WIDENED else ()
    return _stored_dtype(tensor), (*tensor.shape, *pair)


def _stored(tensor: Tensor) -> Tensor:
    values = tensor.detach().cpu().resolve_conj().resolve_neg()
    return (torch.view_as_real(values) if values.dtype in WIDENED else values).contiguous()


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of a tensor on the CPU."""
    if sys.byteorder != "little":
        raise NotImplementedError("safetensors files are little-endian, and this computer is not")
    return tensor.reshape(-1).view(torch.uint8).numpy().data


# Reading.


class Stream(Protocol):
    """What is read from: an open file, or bytes."""

    def read(self, count: int, /) -> bytes: ...

    def readinto(self, buffer: memoryview, /) -> int: ...


def read_sealed(
    path: str | Path, kind: str, otherwise: str, digest: str | None = None, allow_large: bool = False
) -> Contents:
    """Return what a sealed file of a kind holds; `otherwise` says what is wrong with one that is not.

    Raises:
        FileError: it is damaged, of another kind or format, or has not the `digest` that is expected.
        OSError: it cannot be read.
    """
    contents = read_file(path, digest, allow_large=allow_large)
    earlier = EARLIER & {*contents.metadata, contents.metadata.get("format")}
    if earlier:
        raise FileError(
            f"{path} is of the format {earlier.pop()}, which had no digest and is read no more: "
            "load it with Blockprint 0.1.0, or what tensors are in it with safetensors"
        )
    if contents.about.get("kind") != kind:
        raise FileError(f"{path} {otherwise}")
    return contents


def read_file(
    path: str | Path, digest: str | None = None, values: bool = True, allow_large: bool = False
) -> Contents:
    """Return what any safetensors file holds, and make sure that a sealed one is whole.

    Without `values` the tensors are checked, and not kept. They are views of the file only where the file system lets
    nobody change it, and what is written to them is written to no file. With `allow_large` a file is read that the
    memory may not hold, or that has holes.

    Raises:
        FileError: it is damaged, no safetensors file, of a newer format, has not the `digest` that is expected, or is
            too large.
        OSError: it cannot be read.
    """
    with open(path, "rb", opener=_open) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{path} is no ordinary file: copy it to one")
        if not allow_large:
            _check_size(str(path), status, values)
        memory = _mapped(stream.fileno(), status.st_size) if values else None
        contents = unseal(stream, status.st_size, str(path), values, memory)
    if digest is not None and contents.digest != check_digest(digest):
        has = f"has the digest {contents.digest}" if contents.digest else "has no digest"
        raise FileError(f"{path} {has}, and {digest} is expected: it is not the file that is meant")
    return contents


def _check_size(name: str, status: os.stat_result, values: bool) -> None:
    """Refuse a file that is larger than the memory, or that says so and is hardly there."""
    written = getattr(status, "st_blocks", status.st_size) * BLOCK
    if status.st_size >= LARGE and written * HOLES < status.st_size:
        raise FileError(
            f"{name} has {status.st_size:,} bytes, of which {written:,} were ever written: the rest are holes. "
            f"Take another copy of it{ALLOWED}"
        )
    limit = available_memory() * MEMORY_SHARE
    if values and status.st_size > limit:
        raise FileError(
            f"{name} takes {status.st_size / 2**30:.1f} GiB of memory, and {limit / 2**30:.1f} GiB is the limit here"
            f"{ALLOWED}"
        )


def _mapped(descriptor: int, size: int) -> mmap | None:
    """Return a file mapped into memory, None where it must be copied."""
    return mmap(descriptor, size, access=ACCESS_COPY) if size and unchangeable(descriptor) else None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would else never be opened


def check_digest(text: str) -> str:
    """Return a digest as it stands in a file. ValueError if it is malformed."""
    digest = text.strip().lower()
    if len(digest) != DIGITS or not set(digest) <= set("0123456789abcdef"):
        raise ValueError(f"a digest has {DIGITS} digits of 0-9 and a-f, and {text!r} is none")
    return digest


def unseal(stream: Stream, size: int, name: str, values: bool = True, memory: mmap | None = None) -> Contents:
    """Read a stream of `size` bytes as a safetensors file; see `read_file`. `memory` is all of it, if it is mapped."""
    reader = _Reader(stream, size, name, memory)
    try:
        return reader.contents(values)
    except ValueError as error:
        raise FileError(f"{name} {reader.verdict}: {error}{reader.advice}") from None


@dataclass(eq=False)
class _Reader:
    """Reads a stream once, from its beginning to its end. ValueError wherever it is not as it must be."""

    stream: Stream
    size: int
    name: str
    memory: mmap | None = None
    sealed: bool = False
    digest: blake3 = field(default_factory=blake3)

    @cached_property
    def scratch(self) -> memoryview:
        """Memory for what is not kept."""
        return memoryview(bytearray(CHUNK))

    @property
    def verdict(self) -> str:
        return "is damaged" if self.sealed else "is no safetensors file"

    @property
    def advice(self) -> str:
        return ". Take another copy of it, or save it again" if self.sealed else ""

    def contents(self, values: bool) -> Contents:
        header, stored = self._header()
        start = 8 + len(header)
        metadata, entries = read_header(header, self.size - start)
        if self.memory is not None:
            tensors = {entry.name: self._view(self.memory, entry, start) for entry in entries}
        else:
            tensors = {entry.name: self._tensor(entry, values) for entry in entries}
        if self.memory is None and self.stream.read(1):
            raise ValueError("something follows its end")
        if not self.sealed:
            _refuse_other_forms(metadata, self.name)
            return Contents({}, tensors, None, metadata)
        if self.digest.hexdigest().encode() != stored:
            raise ValueError("its digest is not that of its contents")
        about = _about(metadata, self.name)
        return Contents(about, _narrowed(about, tensors), stored.decode(), metadata)

    def _header(self) -> tuple[bytes, bytes]:
        """Return the header, and the digest that stands in it."""
        start = self._read(8)
        length = int.from_bytes(start, "little")
        header = self.stream.read(min(length, LONGEST, self.size - 8))
        self.sealed = header.startswith(START)
        if len(header) != length:
            raise ValueError("it is cut off" if self.sealed else "its header is longer than the file")
        digest_end = len(START) + DIGITS
        for part in (start, header[: len(START)], b"0" * DIGITS, header[digest_end:]):
            self.digest.update(part)
        return header, header[len(START) : digest_end]

    def _read(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) != count:
            raise ValueError("it is cut off")
        return data

    def _tensor(self, entry: Entry, values: bool) -> Tensor:
        """Return a tensor of its own memory, aligned as torch's is; without `values`, one that has none."""
        tensor = torch.empty(entry.shape, dtype=entry.dtype, device="cpu" if values else "meta")
        memory, size = _bytes(tensor) if values else None, entry.end - entry.start
        for at in range(0, size, CHUNK):
            end = min(at + CHUNK, size)
            self._fill(self.scratch[: end - at] if memory is None else memory[at:end])
        return tensor

    def _view(self, memory: mmap, entry: Entry, start: int) -> Tensor:
        """Return a tensor whose memory is where the file is mapped, or a copy if torch would align it better."""
        begin, end = start + entry.start, start + entry.end
        if begin == end:
            return torch.empty(entry.shape, dtype=entry.dtype, device="cpu")
        self.digest.update(memoryview(memory)[begin:end])
        flat = torch.frombuffer(
            memory, dtype=entry.dtype, count=(end - begin) // entry.dtype.itemsize, offset=begin
        )
        tensor = flat.reshape(entry.shape)
        return tensor.clone() if begin % ALIGNMENT else tensor

    def _fill(self, chunk: memoryview) -> None:
        if self.stream.readinto(chunk) != len(chunk):
            raise ValueError("it is cut off")
        self.digest.update(chunk)


def _refuse_other_forms(metadata: Mapping[str, str], name: str) -> None:
    """Refuse a file that has our key, and not our form: a newer one, by name."""
    if KEY not in metadata:
        return
    about = strict_json(metadata[KEY])
    if isinstance(about, dict):
        _refuse_newer(about.get("format"), name)
    raise FileError(f"{name} is damaged: its digest is not where it must be. Take another copy of it")


def _refuse_newer(version: object, name: str) -> None:
    if type(version) is int and version > FORMAT:
        raise FileError(
            f"{name} is of the format {version}, and this version of Blockprint reads formats up to {FORMAT}: "
            "read it with a newer version"
        )


def _about(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return what a sealed file says about itself."""
    about = strict_json(metadata[KEY])
    if len(metadata) != 1 or not isinstance(about, dict):
        raise ValueError("its metadata are not those of a sealed file")
    _refuse_newer(about.get("format"), name)
    if about.get("format") != FORMAT or not isinstance(about.get("kind"), str):
        raise ValueError("it does not say what it holds")
    return about


def _narrowed(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return tensors with those complex that are stored as pairs."""
    names = about.get("complex", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its complex tensors are no names")
    pairs = {torch.float16, torch.float64}
    widened = frozenset(names)
    for name in widened:
        if name not in tensors or tensors[name].dtype not in pairs or tensors[name].shape[-1:] != (2,):
            raise ValueError(f"{shown(name)} is no tensor of pairs")
    return {name: torch.view_as_complex(t) if name in widened else t for name, t in tensors.items()}
