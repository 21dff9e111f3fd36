"""What a verb is about: the spec or the saved model that the caller names, compiled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.catalogue.plugins import Plugin
from compiler.cli.answers.record import note_file, spoil
from compiler.cli.console import err, status
from compiler.cli.outcome import UsageProblem
from compiler.load import DiskFiles, Loaded, load
from compiler.pipeline import compile_files, registry
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.shown import shown
from spec_schema.suggest import did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from compiler.artifact import Artifact
    from runtime.placement import Devices
    from runtime.store import Saved

MODEL_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Subject:
    """A file with the options that say how to compile it."""

    path: Path
    settings: Sequence[str] | None = None
    preset: str | None = None
    plugins: Sequence[str | Plugin] | None = None
    import_paths: Sequence[Path] | None = None
    expect_digest: str | None = None
    """What a saved model must have."""

    @property
    def is_model(self) -> bool:
        """Whether the file is a saved model: a text holds no zeros, and the length of a header does."""
        if not self.path.is_file():
            return False  # a pipe, which can be read once
        with self.path.open("rb") as file:
            return b"\0" in file.read(8) or self.path.suffix == MODEL_SUFFIX

    @property
    def folder(self) -> Path:
        return self.path.parent

    def variables(self) -> dict[str, str]:
        """Return the values of `--set`."""
        found = {}
        for text in self.settings or ():
            key, equals, value = text.partition("=")
            if not equals or not key.strip():
                raise UsageProblem(f"`--set {text}` gives no value", "write `--set key=value`")
            found[key.strip()] = value
        return found

    def load(self) -> Loaded:
        """Read and validate the spec and its imports. SpecError if it is refused."""
        return load(self.path.name, self._files(), self.variables(), self.preset)

    def _files(self) -> NotedFiles:
        if (
            self.plugins or not self.path.is_file()
        ):  # what a plugin reads nobody knows, and a pipe is read once
            spoil()
        return NotedFiles(DiskFiles(self.path, tuple(self.import_paths or ())))

    def artifact(self) -> Artifact:
        """Compile.

        Raises:
            SpecError: the spec is refused.
            UsageProblem: the file is not there, or an option does not fit it.
            FileError: the file is no saved model.
        """
        check_file(self.path)
        if self.is_model:
            return self.saved(values=False).artifact(self.plugins or ())
        if self.expect_digest is not None:
            raise UsageProblem(f"`--expect-digest` is for saved models, and `{self.path}` is a spec")
        settings, plugins = self.variables(), registry(self.plugins or ())
        with status(f"compiling {self.path.name}"):
            return compile_files(
                self.path.name, self._files(), settings, self.preset, plugins, DEFAULT_LIMITS
            )

    def saved(self, values: bool, allow_large: bool = False) -> Saved:
        """Read a saved model, and make sure that it is whole. Without `values` they are not kept.

        Raises:
            UsageProblem: an option does not fit it, or the expected digest is malformed.
            FileError: the file is damaged, no saved model, or not the one that is expected.
        """
        spoil()
        if self.settings or self.preset:
            raise UsageProblem(
                f"`{self.path}` is a saved model, whose values are fixed",
                "`--set` and `--preset` are for specs",
            )
        with status(f"reading {self.path.name}"):
            from runtime.files.sealed import check_digest
            from runtime.store import NO_DIGEST, read_saved

            try:
                digest = None if self.expect_digest is None else check_digest(self.expect_digest)
            except ValueError as error:
                raise UsageProblem(str(error)) from None
            saved = read_saved(self.path, digest, values, allow_large)
        if saved.digest is None:
            err().print(shown(f"note: {self.path} {NO_DIGEST}"), soft_wrap=True)
        return saved

    def model(self, device: Devices, allow_large: bool = False) -> nn.Module:
        """Load a saved model; see `saved`."""
        return self.saved(True, allow_large).model(device, self.plugins or (), allow_large)


@dataclass(frozen=True)
class NotedFiles:
    """The files of a spec; what is read, and where nothing was found, is noted for the answer."""

    files: DiskFiles

    def read(self, path: str) -> tuple[bytes, str]:
        folders = (self.files.main.parent, *self.files.import_paths)
        tried = [str(folder / path) for folder in folders]
        try:
            data, name = self.files.read(path)
        except FileNotFoundError:
            _note_absent(tried)
            raise
        except OSError:
            spoil()
            raise
        if name in tried:
            _note_absent(tried[: tried.index(name)])
        note_file(name, data)
        return data, name


def _note_absent(paths: Sequence[str]) -> None:
    for path in paths:
        if os.path.lexists(path):
            spoil()  # a link that leads out of the folder is passed over
        else:
            note_file(path, None)


def check_file(path: Path) -> None:
    """Make sure that there is a file. UsageProblem, with what was probably meant, if there is none."""
    if path.is_dir():
        raise UsageProblem(f"`{path}` is a folder", f"name a file in it, such as `{_example(path)}`")
    if not path.exists():
        near = nearest(path)
        raise UsageProblem(f"there is no file `{path}`", f"did you mean `{near}`?" if near else None)


def _example(folder: Path) -> Path:
    return next(iter(sorted(folder.rglob("*.yaml"))), folder / "model.yaml")


def nearest(path: Path) -> Path | None:
    """Return a file or folder with a name like that of the first part of the path that is not there."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    if not missing.parent.is_dir():
        return None
    found = did_you_mean(missing.name, sorted(each.name for each in missing.parent.iterdir()))
    if found is None:
        return None
    mended = missing.parent / found / path.relative_to(missing)
    return mended if mended.exists() else missing.parent / found
