"""A model written back as the checkpoint that it was loaded from: the same names, shapes, dtypes and files."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact
from compiler.checkpoint_mapping.plan import LoadPlan, Use, plan_loads
from compiler.checkpoint_mapping.recipes import evaluate
from compiler.checkpoint_mapping.uses import checkpoint_uses
from compiler.rules.plan import PlanRow
from runtime.checkpoint_mapping.files import (
    INDEX_SUFFIX,
    OTHER_FORMATS,
    SUFFIX,
    Checkpoint,
    CheckpointError,
    Shard,
    is_within,
    open_checkpoint,
    shown,
)
from runtime.checkpoint_mapping.loading import bits_equal
from runtime.classes import artifact_of
from runtime.files.atomic import sync_folder, write_whole
from runtime.files.header import FileError
from runtime.named_tensors import named_tensors
from spec_schema.selectors import parse_selector


@dataclass(frozen=True)
class Written:
    """What was written: how many tensors of the model, how many of the original, and which files."""

    tensors: int
    kept: int
    files: tuple[str, ...]


def save_like(model: nn.Module, path: str | Path, like: str | Path, leave: Sequence[str] = ()) -> Written:
    """Write a model in the names of the checkpoint `like`, from which a rule of its spec reads.

    Each rule `checkpoint(...)` is undone: tensors are joined, split, turned and renamed back, and have the dtype of
    the original. What the rule skips is taken from the original. A folder is written as a folder, with the same
    files, its configuration included, and must not be there yet; a file is replaced in one step.

    `leave` are selectors of tensors of the model that the checkpoint has no place for, and that are left out.

    Raises:
        TypeError: the model was not built from a spec.
        FileError: the checkpoint is none, no rule reads it, or the model has a tensor that has no place in it.
        SpecError: the rule does not fit the checkpoint, or a selector is none.
        OSError: it cannot be written; nothing is, and what was there is whole.
    """
    artifact = artifact_of(model)
    uses = _uses(artifact, Path(like))
    try:
        checkpoint = open_checkpoint(Path(like))
    except CheckpointError as error:
        raise FileError(error.message, *error.notes) from None
    if any(shard.is_sealed for shard in checkpoint.shards):
        raise FileError(
            f"`{shown(checkpoint.path)}` is a saved model of Blockprint, and no checkpoint of somebody else",
            "its header vouches for its own spec and values: write the model with `runtime.save`",
        )
    plan = plan_loads(artifact.plan, uses, dict.fromkeys({u.surgery.path for u in uses}, checkpoint.headers))
    _check_left(artifact, plan, leave, checkpoint)
    source = _Source(plan, checkpoint, dict(named_tensors(model)))
    if checkpoint.path.is_dir() or checkpoint.index is not None:
        files = _write_folder(Path(path), source)
    else:
        write_whole(path, partial(source.write, checkpoint.shards[0]))
        files = (str(path),)
    written = sum(name in source.back for name in checkpoint.headers)
    return Written(written, len(checkpoint.headers) - written, files)


def _uses(artifact: Artifact, like: Path) -> list[Use]:
    """Return what is read from the checkpoint, or from one that lay elsewhere when the model was built."""
    uses = checkpoint_uses(artifact)
    paths = sorted({use.surgery.path for use in uses})
    if not paths:
        raise FileError(f"no rule of {artifact.name} reads a checkpoint: there are no names to write it in")
    meant = [path for path in paths if Path(path).name == like.name] if len(paths) > 1 else paths
    if len(meant) != 1:
        listed = ", ".join(f"`{path}`" for path in paths)
        raise FileError(
            f"`{shown(like)}` is none of the checkpoints of {artifact.name}", f"they are {listed}"
        )
    return [use for use in uses if use.surgery.path == meant[0]]


def _check_left(artifact: Artifact, plan: LoadPlan, leave: Sequence[str], checkpoint: Checkpoint) -> None:
    """Refuse to drop a tensor in silence."""
    written = {name for rule in plan.rules for name in rule.loads}
    left = {row.name for text in leave for row in artifact.plan.select(parse_selector(text, None))}
    for text in leave:
        if not artifact.plan.select(parse_selector(text, None)):
            raise FileError(f"`{text}` names no tensor of {artifact.name}")
    dropped = [row.name for row in artifact.plan.rows if _is_learnt(row) and row.name not in written | left]
    if dropped:
        count = "1 tensor" if len(dropped) == 1 else f"{len(dropped):,} tensors"
        head = f"`{shown(checkpoint.path)}` has no place for {count} of {artifact.name}"
        raise FileError(head, *dropped, "`leave` them out by name, to write the rest")


def _is_learnt(row: PlanRow) -> bool:
    """Return whether a tensor has values that its spec alone does not give it."""
    return row.persistent and (row.source.entry is None or row.source.entry.value is None)


class _Source:
    """Gives the tensors of a checkpoint, out of a model where it has them."""

    def __init__(self, plan: LoadPlan, checkpoint: Checkpoint, state: dict[str, Tensor]) -> None:
        self.checkpoint, self.state = checkpoint, state
        self.back = {name for rule in plan.rules for name in rule.back}
        self.rules = plan.rules
        skipped = {name for rule in plan.rules for name in rule.skipped}
        torn = sorted(checkpoint.headers.keys() - self.back - skipped)
        if torn:
            raise FileError(
                f"`{torn[0]}` is taken in parts by several rules, and cannot be put together again"
            )
        for name in checkpoint.headers:
            self._check_shape(name)

    def _check_shape(self, name: str) -> None:
        """Refuse to write a tensor that an expression made of another shape."""
        header = self.checkpoint.headers[name]
        for rule in self.rules:
            if name in rule.back:
                meta = evaluate(rule.back[name], lambda each: self.state[each].detach().to("meta"))
                if meta.shape != torch.Size(header.shape):
                    raise FileError(
                        f"`{name}` has the shape {list(header.shape)} in `{shown(self.checkpoint.path)}`, "
                        f"and {list(meta.shape)} in the model",
                        "a rule computed with it, and that is not undone",
                    )

    def tensor(self, name: str) -> Tensor:
        """Return a tensor as it is written. FileError if it went to several places that are no longer equal."""
        dtype = self.checkpoint.headers[name].dtype
        recipes = [rule.back[name] for rule in self.rules if name in rule.back]
        found = [
            evaluate(recipe, lambda each: self.state[each].detach().cpu()).to(dtype) for recipe in recipes
        ]
        if not found:
            return self.checkpoint.read(name)
        if not all(bits_equal(found[0], each) for each in found[1:]):
            raise FileError(f"`{name}` went to several places of the model, and they are not equal any more")
        return found[0]

    def write(self, shard: Shard, stream: BinaryIO) -> None:
        """Write a file as the original is, its header byte for byte: the tensors have the same forms and order."""
        with shard.path.open("rb") as original:
            length = original.read(8)
            stream.write(length + original.read(int.from_bytes(length, "little")))
        for name in shard.headers:
            values = self.tensor(name).contiguous().reshape(-1).view(torch.uint8)
            stream.write(values.numpy().data)


def _write_folder(path: Path, source: _Source) -> tuple[str, ...]:
    """Write all files of a folder beside its place, and move it there in one step."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "is there already: name a new folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}-{secrets.token_hex(8)}.tmp"
    temporary.mkdir()
    try:
        for shard in source.checkpoint.shards:
            write_whole(temporary / shard.path.name, partial(source.write, shard))
        for other in _others(source.checkpoint):
            _copy(other, temporary / other.name)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(path.parent)
    return tuple(sorted(str(path / each.name) for each in path.iterdir()))


def _others(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yield what stands beside the weights: the index, the configuration, a tokenizer; no weights in other formats."""
    for path in sorted(checkpoint.folder.iterdir()):
        weights = path.name.endswith((SUFFIX, *OTHER_FORMATS, INDEX_SUFFIX, ".index.json"))
        mine = checkpoint.index is not None and path.name == checkpoint.index.name
        if path.is_file() and is_within(path) and (mine or not (weights or path.name.startswith("."))):
            yield path


def _copy(original: Path, target: Path) -> None:
    with original.open("rb") as stream:
        write_whole(target, lambda out: shutil.copyfileobj(stream, out))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        sync_folder(handle)
    finally:
        os.close(handle)
