"""One file for architecture and weights: ordinary safetensors with the spec in its header, sealed with a digest."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compiler.artifact import Artifact, Canonical
from compiler.catalogue.plugins import Plugin
from compiler.pipeline import compile_canonical
from compiler.rules.plan import PlanRow
from runtime.build import assemble, check_memory
from runtime.classes import artifact_of
from runtime.comparison import spec_lines, tensor_lines
from runtime.files.header import DTYPES, FileError, strict_json
from runtime.files.sealed import WIDENED, Contents, read_file, stored_order, write_sealed
from runtime.initialise import FirstValues
from runtime.manifest import (
    Manifest,
    dtype_name,
    of_model,
    of_plan,
    of_tensors,
    once,
    plan_digest,
    saved_rows,
)
from runtime.named_tensors import named_tensors
from runtime.placement import Devices, settle
from runtime.sharded import any_on_mesh, copy_whole, gathered, orders_of, unwrapped, written_once
from runtime.ties import differing_ties
from runtime.unsaved import compute_unsaved
from runtime.work import check_work
from spec_schema.shown import shown

KIND = "model"
FIRST_FORMAT = "blockprint/1"
"""The key of the metadata under which the first format had the spec. It had no digest."""
VERSION = "0.1.0"
"""That of Blockprint, as in pyproject.toml."""
NESTING = 200
"""How deep the spec in a file may be nested before it is looked at; what the compiler accepts is less."""

CASTABLE = {dtype_name(dtype): dtype for dtype in (*DTYPES.values(), *WIDENED)}


class Mismatch(FileError):
    """The tensors in a file are not those of a model. `differences` has a line for each that is not alike."""

    def __init__(self, message: str, differences: Iterable[str]) -> None:
        self.differences = tuple(differences)
        super().__init__(message, *(f"  {line}" for line in self.differences))


# Saving.


def save(model: nn.Module, path: str | Path) -> str:
    """Save architecture and weights in one file, and return its digest: all of it or nothing, durable then.

    A tensor with several names is saved once, under its canonical name. Buffers that are not persistent are
    computed again on load. The same model gives the same bytes. One that lies on several ranks is saved by all of
    them together: its tensors are gathered one by one, and the first rank writes.

    Raises:
        TypeError: the model was not built from a spec.
        ValueError: the model is no longer the one of its spec, or has no values, so that the file would not be it.
        OSError: the file cannot be written; an older file at this path is unchanged.
    """
    artifact, model = artifact_of(model), unwrapped(model)
    state = dict(named_tensors(model))
    dtypes = _dtypes(artifact, state)
    _check_savable(model, artifact, dtypes)
    about = {
        **artifact.canonical,
        "plan": plan_digest(artifact.plan),
        "versions": {"blockprint": VERSION, "torch": torch.__version__.partition("+")[0]},
        **({"cast": {name: dtype_name(dtype) for name, dtype in dtypes.items()}} if dtypes else {}),
    }
    tensors = {row.name: state[row.name] for row in saved_rows(artifact.plan)}
    if not any_on_mesh(tensors.values()):
        return write_sealed(path, KIND, about, tensors)
    orders = orders_of(model)
    return written_once(
        stored_order(tensors),
        lambda name: gathered(tensors[name], orders.get(name)),
        lambda values: write_sealed(path, KIND, about, tensors, values),
    )


def _dtypes(artifact: Artifact, state: Mapping[str, Tensor]) -> dict[str, torch.dtype]:
    """Return the dtypes of the tensors that were cast since the model was built."""
    return {
        row.name: state[row.name].dtype
        for row in artifact.plan.rows
        if row.name in state and state[row.name].dtype != row.dtype
    }


def _check_savable(model: nn.Module, artifact: Artifact, dtypes: Mapping[str, torch.dtype]) -> None:
    lines = tensor_lines(of_plan(artifact.plan, dtypes), of_model(model), "by its spec", "in the model")
    lines += differing_ties(model, artifact.plan)
    if lines:
        raise ValueError("\n  ".join(["the model is no longer the one of its spec:", *map(shown, lines)]))
    if any(tensor.is_meta for tensor in model.state_dict().values() if isinstance(tensor, Tensor)):
        raise ValueError("the model has no values: it is on the meta device")


# Reading.


@dataclass(frozen=True)
class Saved:
    """A saved model that was read and found whole. `digest` is None for one of the first format."""

    path: str
    canonical: Canonical = field(repr=False)
    dtypes: Mapping[str, torch.dtype] = field(repr=False)
    plan_digest: str | None
    versions: Mapping[str, object]
    tensors: Mapping[str, Tensor] = field(repr=False)
    digest: str | None

    def artifact(self, plugins: Iterable[str | Plugin] = ()) -> Artifact:
        """Compile the spec in it.

        Raises:
            FileError: the spec does not give the tensors of the file.
            SpecError: the spec is refused.
        """
        artifact = compile_canonical(self.canonical, name=self.path, plugins=plugins)
        self.check(artifact)
        return artifact

    def check(self, artifact: Artifact) -> None:
        """Make sure that the tensors are those of an artifact. FileError, with all that are not, otherwise."""
        wanted = once(self.manifest(artifact))
        found = of_tensors(self.tensors, artifact.plan)
        lines = tensor_lines(found, wanted, "in the file", "by the spec")
        if lines:
            raise Mismatch(f"the tensors of {self.path} are not those of its spec:", lines)
        if self.plan_digest not in (None, plan_digest(artifact.plan)):
            raise FileError(
                f"the spec in {self.path} gives another plan than when it was saved:",
                f"  it was saved with {_versions(self.versions)}: load it with those versions",
            )

    def manifest(self, artifact: Artifact) -> Manifest:
        """Return the tensors of the file under all the names that an artifact gives them."""
        return of_plan(artifact.plan, self.dtypes)

    def model(
        self, device: Devices = None, plugins: Iterable[str | Plugin] = (), allow_large: bool = False
    ) -> nn.Module:
        """Return the model; see `load`."""
        artifact = settle(self.artifact(plugins), device, allow_large)
        unsaved = [row for row in artifact.plan.rows if not row.persistent]
        check_memory(artifact, unsaved, allow_large)
        check_work(artifact, unsaved, allow_large)
        first_values = FirstValues(artifact)  # a buffer that is not persistent is computed again

        def value(row: PlanRow) -> Tensor:
            if row.persistent:
                return self.tensors[row.name]
            return first_values(row).to(self.dtypes.get(row.name, row.dtype))

        return assemble(artifact, value)


def _versions(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "another version"


def read_saved(
    path: str | Path, digest: str | None = None, values: bool = True, allow_large: bool = False
) -> Saved:
    """Return what a file has, checked as far as that goes without compiling. Without `values` they are not kept.

    Raises:
        FileError: the file is damaged, no saved model, has not the `digest` that is expected, or is too large.
        OSError: the file cannot be read.
        ValueError: the `digest` is malformed.
    """
    contents = read_file(path, digest, values, allow_large)
    try:
        about = _about(contents)
        return Saved(
            str(path),
            _canonical(about),
            {name: CASTABLE[dtype] for name, dtype in _mapping(about, "cast").items()},
            str(about["plan"]) if contents.digest else None,
            _mapping(about, "versions"),
            contents.tensors,
            contents.digest,
        )
    except LookupError:
        raise FileError(f"{path} has no spec in it: it was not saved by `runtime.save`") from None
    except (ValueError, TypeError) as error:
        raise FileError(f"{path} is no saved model: {error}") from None


def _about(contents: Contents) -> Mapping[str, Any]:
    if contents.digest is None:
        about = strict_json(contents.metadata[FIRST_FORMAT])
        return about if isinstance(about, dict) else {}
    if contents.about["kind"] != KIND:
        raise KeyError(KIND)
    return contents.about


def _canonical(about: Mapping[str, Any]) -> Canonical:
    canonical = {"spec": about["spec"], "imports": about["imports"]}
    if not isinstance(about["imports"], dict):
        raise ValueError("its imports are no mapping")
    level: list[Any] = [canonical]
    for _ in range(NESTING):
        level = [part for each in level for part in _parts(each)]
    if level:
        raise ValueError("its spec is nested too deep")
    return canonical


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _mapping(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = about.get(key, {})
    if not isinstance(found, dict):
        raise TypeError(f"its `{key}` is no mapping")
    return found


def read_artifact(
    path: str | Path, plugins: Iterable[str | Plugin] = (), digest: str | None = None
) -> Artifact:
    """Return the artifact of a saved model, compiled from the spec in its header; the file is found whole first.

    Raises:
        FileError: the file is damaged, no saved model, or has not the `digest` that is expected.
        SpecError: the spec in it is refused.
        FileNotFoundError: there is no such file.
    """
    return read_saved(path, digest, values=False).artifact(plugins)


def load(
    path: str | Path,
    device: Devices = None,
    plugins: Iterable[str | Plugin] = (),
    digest: str | None = None,
    allow_large: bool = False,
    train: bool = False,
) -> nn.Module:
    """Return the model in a file. Nothing but the file is needed, and no code in it is run.

    It is in evaluation mode, or in training mode with `train`.

    Each byte of the file is checked against the digest in it, and that against the `digest` that is expected. Buffers
    that are not saved are computed: what takes much memory or work is refused first, but with `allow_large`.

    Raises:
        FileError: the file is damaged, no saved model, or has not the `digest` that is expected; or its tensors are
            not those of its spec.
        SpecError: the spec in it is refused, or takes too much memory or work.
        OSError: the file cannot be read.
        ValueError: there is no such `device`, or the `digest` is malformed.
    """
    saved = read_saved(path, digest, allow_large=allow_large)
    _note_format(saved)
    return saved.model(device, plugins, allow_large).train(train)


def load_into(
    model: nn.Module,
    path: str | Path,
    plugins: Iterable[str | Plugin] = (),
    digest: str | None = None,
    allow_large: bool = False,
) -> None:
    """Give the values in a file to a model that was built from a spec, wherever its tensors are.

    Names, shapes, dtypes and sharing must be exactly those of the file; what the model computes may differ. Nothing
    is changed if anything is wrong. Buffers that are not saved are computed again, as the model's own spec says.

    Raises:
        Mismatch: the tensors differ; the error says how the two architectures do, and lists all tensors.
        FileError: the file is damaged, no saved model, or has not the `digest` that is expected.
        SpecError: the spec in it is refused.
        OSError: the file cannot be read.
        TypeError: the model was not built from a spec.
        ValueError: the model has no values, or the `digest` is malformed.
    """
    own, model = artifact_of(model), unwrapped(model)
    saved = read_saved(path, digest, allow_large=allow_large)
    _note_format(saved)
    artifact = own if json.dumps(saved.canonical) == json.dumps(own.canonical) else saved.artifact(plugins)
    saved.check(artifact)
    lines = tensor_lines(saved.manifest(artifact), of_model(model), "in the file", "in the model")
    if lines:
        changes = [f"spec: {line}" for line in spec_lines(saved.canonical, own.canonical)]
        raise Mismatch(f"{path} does not fit the model, which is left as it was:", [*changes, *lines])
    state, orders = dict(named_tensors(model)), orders_of(model)
    if any(tensor.is_meta for tensor in state.values()):
        raise ValueError("the model has no values to be replaced: it is on the meta device")
    with torch.no_grad():
        for row in saved_rows(artifact.plan):
            copy_whole(state[row.name], saved.tensors[row.name], orders.get(row.name))
    compute_unsaved(model, own)


def _note_format(saved: Saved) -> None:
    if saved.digest is None:
        warnings.warn(f"{shown(saved.path)} {NO_DIGEST}", stacklevel=3)


NO_DIGEST = (
    f"is of the format {FIRST_FORMAT}, which had no digest, so that damage to it may not be noticed: "
    "save it again with `runtime.save`"
)
