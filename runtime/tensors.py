"""Tensors on disk: one tensor, or lists, tuples and dictionaries of them, in an ordinary safetensors file.

The tensors have the dotted paths of where they stand as names, so that a dictionary of tensors reads the same with
any other reader of safetensors. The structure around them is JSON in the header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from runtime.files.header import METADATA, FileError
from runtime.files.sealed import read_sealed, write_sealed
from spec_schema.shown import shown

KIND = "tensors"

Tensors: TypeAlias = Tensor | list["Tensors"] | tuple["Tensors", ...] | dict[str, "Tensors"]


def save_tensors(value: Tensors, path: str | Path) -> None:
    """Save a tensor, or lists, tuples and dictionaries of tensors, nested as deep as one likes.

    All of the file is written or none, and it is durable when this returns. A tensor that stands in several places is
    stored once and is one tensor again after loading; of other tensors that share memory each is stored for itself.
    A parameter is stored as its values, and a subclass of `list`, `tuple` or `dict` as what it is a subclass of.

    Raises:
        TypeError: the value holds something else than these, a key that is no text, or a tensor that is sparse,
            quantised or without values (on the meta device), or of a dtype that safetensors has not.
        OSError: the file cannot be written; an older file at this path is unchanged.
        ValueError: a key has characters that are none.
    """
    writer = _Writer()
    about = {"structure": writer.structure(value, ())}
    write_sealed(path, KIND, about, writer.tensors)


def load_tensors(path: str | Path, digest: str | None = None, allow_large: bool = False) -> Tensors:
    """Return what `save_tensors` saved, bit for bit and on the CPU. No code in the file is run: there is none.

    Raises:
        FileError: the file was not saved by `save_tensors`, is damaged, has not the `digest` that is expected, or is
            too large for the memory and `allow_large` is not given.
        OSError: the file cannot be read.
    """
    found = read_sealed(path, KIND, "was not saved by `save_tensors`", digest, allow_large)
    try:
        return _Reader(found.tensors).value(found.about["structure"])
    except (KeyError, ValueError, RecursionError):
        raise FileError(f"{path} is damaged: its structure does not name its tensors") from None


@dataclass(eq=False)
class _Writer:
    """Describes a structure as JSON, in which a text is the name of a tensor."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """By the identity of the tensor that the caller gave."""

    def structure(self, value: object, path: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            return self._name(value, path)
        if isinstance(value, list | tuple):
            items = [self.structure(item, (*path, str(at))) for at, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {"dict": {key: self.structure(item, (*path, key)) for key, item in value.items()}}
        raise TypeError(f"{_where(path)} is a {type(value).__name__}{_of_keys(value)}, and no tensor")

    def _name(self, tensor: Tensor, path: tuple[str, ...]) -> str:
        if id(tensor) in self.names:
            return self.names[id(tensor)]
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise TypeError(
                f"{_where(path)} is sparse, quantised or on the meta device: make it a plain tensor"
            )
        name = ".".join(path) or "tensor"
        while name in self.tensors or name == METADATA:  # `a.b` is a key, and `b` a key below `a`
            name += "~"
        self.tensors[name] = tensor
        self.names[id(tensor)] = name
        return name


@dataclass(eq=False)
class _Reader:
    """Puts tensors where a structure names them. KeyError or ValueError where it does not fit."""

    tensors: Mapping[str, Tensor]

    def value(self, structure: object) -> Tensors:
        match structure:
            case str():
                return self.tensors[structure]
            case list():
                return [self.value(part) for part in structure]
            case {"tuple": list(parts)}:
                return tuple(self.value(part) for part in parts)
            case {"dict": dict(parts)}:
                return {key: self.value(part) for key, part in parts.items()}
        raise ValueError(structure)


def _where(path: tuple[str, ...]) -> str:
    return f"`{shown('.'.join(path))}`" if path else "the value"


def _of_keys(value: object) -> str:
    return " with keys that are no texts" if isinstance(value, Mapping) else ""
