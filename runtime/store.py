"""One file for architecture and weights: ordinary safetensors with the spec in its header."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.catalogue.plugins import Plugin
from compiler.pipeline import compile_canonical
from compiler.plan import PlanRow
from runtime.build import assemble
from runtime.classes import artifact_of

FORMAT = "blockprint/1"
"""The key in the header under which the spec stands."""


class FileError(Exception):
    """A file is not a saved model, or not the one that its spec describes."""


def save(model: nn.Module, path: str | Path) -> None:
    """Save architecture and weights in one file: all of it or nothing, durable when this returns.

    A tensor with several names is saved once, under its canonical name. Buffers that are not persistent are
    computed again on load.

    Raises:
        TypeError: the model was not built from a spec.
        OSError: the file cannot be written; an older file at this path is whole.
    """
    artifact = artifact_of(model)
    state = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    rows = [row for row in artifact.plan.rows if row.persistent]
    tensors = {row.name: state[row.name].detach().to("cpu").contiguous() for row in rows}
    metadata = {FORMAT: artifact.canonical_text}  # one key, since the header has several in any order
    write_whole(Path(path), lambda temporary: save_file(tensors, temporary, metadata))


def write_whole(path: Path, write: Callable[[str], object]) -> None:
    """Write a file beside its place, make it durable, and move it there in one step.

    Raises:
        OSError: it cannot be written, or what is there is no ordinary file, such as `/dev/null`.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "is no ordinary file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        write(temporary)
        _sync(Path(temporary))
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    """Return the mode of the file that is replaced, or what the umask gives to a new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def read_artifact(path: str | Path, plugins: Iterable[str | Plugin] = ()) -> Artifact:
    """Return the artifact of a saved model, compiled from the spec in its header.

    Raises:
        FileError: the file is no saved model.
        SpecError: the spec in it is refused.
        FileNotFoundError: there is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise FileError(f"{path} is no safetensors file: {error}") from None
    if FORMAT not in metadata:
        raise FileError(f"{path} has no spec in it: it was not saved by Blockprint")
    return compile_canonical(json.loads(metadata[FORMAT]), name=str(path), plugins=plugins)


def load(path: str | Path, device: str | None = None, plugins: Iterable[str | Plugin] = ()) -> nn.Module:
    """Return the model in a file. Nothing but the file is needed, and no code in it is run.

    Raises:
        FileError: the file is no saved model, or its tensors are not those of its spec.
        SpecError: the spec in it is refused.
    """
    artifact = read_artifact(path, plugins)
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    differences = _differences(artifact, found)
    if differences:
        raise FileError(f"the tensors of {path} are not those of its spec:\n  " + "\n  ".join(differences))
    return assemble(artifact, lambda row: _value(artifact, row, found), device)


def _value(artifact: Artifact, row: PlanRow, found: dict[str, Tensor]) -> Tensor:
    from runtime.initialise import first_values

    if not row.persistent:
        return first_values(artifact, row, 0, None, Path())
    # A copy, since the memory of the file is not aligned as torch's own: products would differ in the last bit.
    return found[row.name].clone()


def _differences(artifact: Artifact, found: dict[str, Tensor]) -> list[str]:
    """Return every way in which the tensors of a file are not those of a plan."""
    expected = {row.name: row for row in artifact.plan.rows if row.persistent}
    problems = [f"missing: {name}" for name in expected if name not in found]
    problems += [f"unexpected: {name}" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        row, tensor = expected[name], found[name]
        if tensor.shape != torch.Size(row.shape) or tensor.dtype != row.dtype:
            problems.append(
                f"{name}: {_form(tensor.shape, tensor.dtype)} in the file, "
                f"{_form(row.shape, row.dtype)} by the spec"
            )
    return sorted(problems)


def _form(shape: Iterable[int], dtype: torch.dtype) -> str:
    return f"{str(dtype).removeprefix('torch.')}{list(shape)}"
