"""Somebody else's checkpoint on disk: one safetensors file, or several with an index, in a folder or by themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import safe_open
from torch import Tensor

from compiler.checkpoint_mapping.rewriting import Header
from runtime.files.header import LONGEST, FileError, read_header, strict_json
from runtime.files.sealed import KEY, read_file
from spec_schema.folders import NoFileError, open_file
from spec_schema.shown import ShownError
from spec_schema.suggest import did_you_mean

SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
SINGLE = "model.safetensors"
OTHER_FORMATS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".npz", ".onnx", ".gguf")
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How the files of `torch.save` begin."""
LONGEST_INDEX = 64 * 2**20
LONGEST_NAME = 512
"""Characters of a name: patterns are matched against it."""


class CheckpointError(ShownError):
    """A checkpoint is not there, or is not a checkpoint: the parts of a diagnostic that do not depend on who asks."""

    def __init__(self, code: str, message: str, notes: tuple[str, ...] = (), help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.notes, self.help = code, message, notes, help


@dataclass(frozen=True, eq=False)
class Shard:
    """One file of a checkpoint."""

    path: Path
    metadata: Mapping[str, str]
    headers: Mapping[str, Header]

    @property
    def is_sealed(self) -> bool:
        """Whether it is a file of Blockprint's own, whose header speaks of its values."""
        return any(key.startswith(KEY) for key in self.metadata)


@dataclass(eq=False)
class Checkpoint:
    """An opened checkpoint. Its headers are read; values are read when they are asked for."""

    path: Path
    """As the caller named it."""
    index: Path | None
    shards: tuple[Shard, ...]
    _open: dict[Path, Any] = field(default_factory=dict)

    @cached_property
    def headers(self) -> dict[str, Header]:
        return {name: header for shard in self.shards for name, header in shard.headers.items()}

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.shards[0].path.parent

    def read(self, name: str) -> Tensor:
        """Return a tensor whose values are still in the file: copy what is to be kept.

        Raises:
            CheckpointError: the file is a saved model of Blockprint, and its digest says that it is damaged.
        """
        shard = next(shard for shard in self.shards if name in shard.headers)
        if shard.path not in self._open:
            if shard.is_sealed:
                _check_digest(shard.path)
            self._open[shard.path] = safe_open(shard.path, framework="pt")
        tensor: Tensor = self._open[shard.path].get_tensor(name)
        return tensor


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the headers of a checkpoint: a file, an index, or a folder as `save_pretrained` writes it.

    Raises:
        CheckpointError: it is not there, is no safetensors, or its index is not what is in its files.
    """
    if not os.path.exists(path):
        raise missing(path)
    file = _in_folder(path) if path.is_dir() else path
    if file.name.endswith(".json"):
        return Checkpoint(path, file, tuple(_sharded(file)))
    return Checkpoint(path, None, (_shard(file),))


def _check_digest(path: Path) -> None:
    try:
        read_file(path, values=False)
    except FileError as error:
        raise _broken(f"`{shown(path)}` is damaged", str(error).removeprefix(f"{path} ")) from None


def shown(path: Path) -> str:
    """Return a path for a message."""
    return os.path.normpath(path)


def missing(path: Path) -> CheckpointError:
    """Return the refusal of a checkpoint that is not there."""
    parent = path.parent
    beside = sorted(each.name for each in parent.iterdir()) if os.path.isdir(parent) else []
    near = did_you_mean(path.name, [name for name in beside if _is_checkpoint(parent / name)])
    return CheckpointError(
        "checkpoint-missing",
        f"there is no file or folder `{shown(path)}`",
        ("a checkpoint's path is relative to the spec",),
        f"did you mean `{shown(parent / near)}`?" if near else None,
    )


def _is_checkpoint(path: Path) -> bool:
    return path.is_dir() or path.name.endswith((SUFFIX, INDEX_SUFFIX))


def _in_folder(folder: Path) -> Path:
    """Return the file or the index of a folder; what `save_pretrained` writes has its own names."""
    names = sorted(each.name for each in folder.iterdir())
    indexes = [name for name in names if name.endswith(INDEX_SUFFIX)]
    files = [name for name in names if name.endswith(SUFFIX)]
    if SINGLE in files:
        return folder / SINGLE
    for found in (indexes, files):
        if len(found) == 1:
            return folder / found[0]
        if found:
            listed = ", ".join(f"`{name}`" for name in found)
            raise _broken(f"`{shown(folder)}` holds several checkpoints", listed, "name one of the files")
    others = [name for name in names if name.endswith(OTHER_FORMATS)]
    if others:
        raise _other_format(folder / others[0])
    raise _broken(
        f"`{shown(folder)}` holds no safetensors file", f"it holds {', '.join(names[:6]) or 'nothing'}"
    )


def _broken(message: str, note: str | None = None, help: str | None = None) -> CheckpointError:
    return CheckpointError("checkpoint-broken", message, (note,) if note else (), help)


def _other_format(path: Path) -> CheckpointError:
    return _broken(
        f"`{shown(path)}` is no safetensors file",
        "a pickle, such as `torch.save` writes, can run code when it is read: none is opened",
        "convert it where it comes from, with `safetensors.torch.save_file`, or `save_pretrained` of its library",
    )


def _opened(path: Path) -> BinaryIO:
    """Open a file of a checkpoint: an ordinary one, so that nothing is waited for."""
    try:
        return open_file(Path(os.path.realpath(path)))
    except NoFileError:
        raise _broken(f"`{shown(path)}` is no ordinary file") from None


def _shard(path: Path) -> Shard:
    """Read the header of one file, and nothing else of it."""
    with _opened(path) as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        size = os.fstat(stream.fileno()).st_size
        if length > size and (first.startswith(PICKLES) or path.name.endswith(OTHER_FORMATS)):
            raise _other_format(path)
        if len(first) < 8 or length > min(LONGEST, size - 8):
            raise _broken(f"`{shown(path)}` is no safetensors file", "it is cut off, or something else")
        text = stream.read(length)
    try:
        metadata, entries = read_header(text, size - 8 - length)
    except ValueError as error:
        raise _broken(f"`{shown(path)}` is no safetensors file", str(error)) from None
    too_long = next((entry.name for entry in entries if len(entry.name) > LONGEST_NAME), None)
    if too_long:
        raise _broken(
            f"`{shown(path)}` has a name of {len(too_long):,} characters", f"at most {LONGEST_NAME}"
        )
    return Shard(path, metadata, {e.name: Header(e.name, e.shape, e.dtype) for e in entries})


# --- an index -------------------------------------------------------------------------------------------


def _sharded(index: Path) -> Iterator[Shard]:
    """Yield the files that an index names, each with exactly the tensors that the index says."""
    by_file: dict[str, set[str]] = {}
    for tensor, file in _weight_map(index).items():
        by_file.setdefault(file, set()).add(tensor)
    for name, wanted in sorted(by_file.items()):
        shard = _shard(_beside(index, name))
        lacking = sorted(wanted - shard.headers.keys())
        extra = sorted(shard.headers.keys() - wanted)
        if lacking or extra:
            what = f"lacks `{lacking[0]}`" if lacking else f"has `{extra[0]}`, which the index does not say"
            raise _broken(f"`{shown(index)}` and its files do not agree", f"`{name}` {what}")
        yield shard


def _weight_map(index: Path) -> dict[str, str]:
    with _opened(index) as stream:
        text = stream.read(LONGEST_INDEX + 1)
    if len(text) > LONGEST_INDEX:
        raise _broken(f"`{shown(index)}` is too large for an index")
    try:
        found = strict_json(text)
    except ValueError as error:
        raise _broken(f"`{shown(index)}` is no index", str(error).replace("its header", "it")) from None
    weight_map = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise _broken(f"`{shown(index)}` is no index", "it has no `weight_map` of tensors and files")
    for tensor, file in weight_map.items():
        if not isinstance(file, str) or not _is_plain(file):
            raise _broken(
                f"`{shown(index)}` names a file outside its folder",
                f"`{tensor}` is said to be in `{file}`",
                f"an index names `{SUFFIX}` files beside itself",
            )
    return dict(weight_map)


def _is_plain(name: str) -> bool:
    """Return whether a name is that of a safetensors file in the same folder."""
    return name.endswith(SUFFIX) and not set(name) & set("/\\\0") and not name.startswith(".")


def _beside(index: Path, name: str) -> Path:
    path = index.parent / name
    if not path.is_file():
        raise _broken(f"`{shown(index)}` names a file that is not there", f"there is no `{shown(path)}`")
    if not is_within(path):
        raise _broken(f"`{shown(path)}` is a link that leaves its folder")
    return path


def is_within(path: Path) -> bool:
    """Return whether a file is in its folder, links followed.

    The blobs of a cache of models count as inside its snapshots.
    """
    folder = path.parent.resolve()
    allowed = [folder]
    if folder.parent.name == "snapshots":
        allowed.append(folder.parent.parent / "blobs")
    return any(path.resolve().is_relative_to(each) for each in allowed)
