"""Tensors on disk: one tensor, or lists, tuples and dictionaries of them, in an ordinary safetensors file.

The tensors have the dotted paths of where they stand as names, so that a dictionary of tensors reads the same with
any other reader of safetensors. The structure around them is JSON in the header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from runtime.store import FileError, write_whole

FORMAT = "blockprint-tensors/1"
"""The key in the header under which the structure stands."""

Tensors: TypeAlias = Tensor | list["Tensors"] | tuple["Tensors", ...] | dict[str, "Tensors"]

WIDENED = (torch.complex32, torch.complex128)
"""What safetensors has no name for, and is stored as pairs of real numbers."""


def save_tensors(value: Tensors, path: str | Path) -> None:
    """Save a tensor, or lists, tuples and dictionaries of tensors, nested as deep as one likes.

    All of the file is written or none, and it is durable when this returns. A tensor that stands in several places is
    stored once and is one tensor again after loading; of other tensors that share memory each is stored for itself.
    A parameter is stored as its values, and a subclass of `list`, `tuple` or `dict` as what it is a subclass of.

    Raises:
        TypeError: the value holds something else than these, a key that is no text, or a tensor that is sparse,
            quantised or without values (on the meta device).
        OSError: the file cannot be written; an older file at this path is whole.
    """
    writer = _Writer()
    metadata = {FORMAT: json.dumps(writer.structure(value, ()), ensure_ascii=False)}
    write_whole(Path(path), lambda temporary: save_file(writer.tensors, temporary, metadata))


def load_tensors(path: str | Path) -> Tensors:
    """Return what `save_tensors` saved, bit for bit and on the CPU. No code in the file is run: there is none.

    Raises:
        FileError: the file was not saved by `save_tensors`, or is damaged.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copied, since the memory of the file is not aligned as torch's own: products would differ in the last bit.
            found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise FileError(f"{path} is no safetensors file: {error}") from None
    if FORMAT not in metadata:
        raise FileError(f"{path} was not saved by `save_tensors`")
    try:
        return _Reader(found).value(json.loads(metadata[FORMAT]))
    except (KeyError, ValueError, RuntimeError):  # nested too deep, too
        raise FileError(f"{path} is damaged: its structure does not name its tensors") from None


@dataclass(eq=False)
class _Writer:
    """Describes a structure as JSON, in which a text is the name of a tensor."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    """By the identity of the tensor that the caller gave."""

    def structure(self, value: object, path: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            name = self._name(value, path)
            return {"complex": name} if value.dtype in WIDENED else name
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
        while name in self.tensors or name == "__metadata__":  # `a.b` is a key, and `b` a key below `a`
            name += "~"
        values = tensor.detach().resolve_conj().resolve_neg().cpu()
        if values.dtype in WIDENED:
            values = torch.view_as_real(values)
        self.tensors[name] = values.clone(memory_format=torch.contiguous_format)
        self.names[id(tensor)] = name
        return name


@dataclass(eq=False)
class _Reader:
    """Puts tensors where a structure names them. KeyError or ValueError where it does not fit."""

    tensors: Mapping[str, Tensor]
    complex: dict[str, Tensor] = field(default_factory=dict)

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
            case {"complex": str(name)}:
                return self._complex(name)
        raise ValueError(structure)

    def _complex(self, name: str) -> Tensor:
        if name not in self.complex:
            self.complex[name] = torch.view_as_complex(self.tensors[name])
        return self.complex[name]


def _where(path: tuple[str, ...]) -> str:
    return f"`{'.'.join(path)}`" if path else "the value"


def _of_keys(value: object) -> str:
    return " with keys that are no texts" if isinstance(value, Mapping) else ""
