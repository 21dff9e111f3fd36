"""The header of a safetensors file: written in one form only, and read with suspicion.

The format is `length as u64, header as JSON, data`, see https://huggingface.co/docs/safetensors. Its own reader accepts
duplicate keys and knows no digest; this one refuses whatever is not exactly as it must be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spec_schema.shown import ShownError

METADATA = "__metadata__"
LONGEST = 100_000_000
"""Bytes of a header; the reader of safetensors has the same limit."""
ALIGNMENT = 64
"""Where the data begins, so that a reader may map it."""
LARGEST, RANK = 2**62, 64

DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class FileError(ShownError):
    """A file is not what it should be: damaged, of something else, or not the one that was expected."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a file, with its place in the data."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


def write_header(metadata: str, forms: Iterable[tuple[str, torch.dtype, tuple[int, ...]]]) -> bytes:
    """Return the length and the header for tensors that stand in this order. `metadata` is a JSON object.

    Raises:
        ValueError: a name is no text that UTF-8 can hold, or stands for the metadata; or there is too much of it.
        TypeError: safetensors has no name for a dtype.
    """
    entries, at = {}, 0
    for name, dtype, shape in forms:
        if dtype not in NAMES:
            raise TypeError(f"`{name}` is {dtype}, which a safetensors file cannot hold")
        if name == METADATA:
            raise ValueError(f"a tensor cannot be called `{METADATA}` in a safetensors file")
        end = at + math.prod(shape) * dtype.itemsize
        entries[name] = {"data_offsets": [at, end], "dtype": NAMES[dtype], "shape": list(shape)}
        at = end
    listed = json.dumps(entries, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    comma = "," if entries else ""
    text = f'{{"{METADATA}":{metadata}{comma}{listed[1:]}'.encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > LONGEST:
        raise ValueError(
            f"the header takes {len(text):,} bytes, and {LONGEST:,} is what a safetensors file may have"
        )
    return len(text).to_bytes(8, "little") + text


def read_header(text: bytes, size: int) -> tuple[dict[str, str], list[Entry]]:
    """Return the metadata and the tensors, in the order of their data, which takes `size` bytes.

    Raises:
        ValueError: the header is not exactly as it must be.
    """
    header = strict_json(text)
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no texts")
    entries = sorted((_entry(*item) for item in header.items()), key=lambda each: (each.start, each.end))
    at = 0
    for entry in entries:
        if entry.start != at:
            raise ValueError(f"the data of {shown(entry.name)} do not follow those before it")
        at = entry.end
    if at != size:
        raise ValueError(f"its tensors take {at:,} bytes, and there are {size:,}")
    return metadata, entries


def strict_json(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: it is no JSON, is nested too deep, has a key twice, or holds NaN or an infinity.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("its header is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is no JSON: {error.msg.lower()}") from None


def shown(name: str) -> str:
    """Return a name from a file, short and on one line."""
    return ascii(name if len(name) <= 80 else f"{name[:80]}...")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in its header")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"its header has {text}, which is no number of JSON")


def _entry(name: str, value: object) -> Entry:
    match value:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, end], **others} if not others:
            sizes = tuple(_count(each) for each in shape)
            entry = Entry(name, _dtype(name, dtype), sizes, _count(start), _count(end))
        case _:
            raise ValueError(f"{shown(name)} is no description of a tensor")
    extent = math.prod(max(size, 1) for size in entry.shape) if len(entry.shape) <= RANK else LARGEST
    if extent >= LARGEST or math.prod(entry.shape) * entry.dtype.itemsize != entry.end - entry.start:
        raise ValueError(f"the shape of {shown(name)} does not fit its data")
    return entry


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < LARGEST:
        raise ValueError("a size in its header is no count")
    return value


def _dtype(name: str, dtype: str) -> torch.dtype:
    if dtype not in DTYPES:
        raise ValueError(f"{shown(name)} has the dtype {shown(dtype)}, which is not known here")
    return DTYPES[dtype]
