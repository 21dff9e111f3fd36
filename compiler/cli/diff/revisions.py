"""Files as they are in a revision of git: `HEAD~1:model.yaml`, and what the spec imports in the same revision."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from compiler.artifact import Artifact
from compiler.catalogue.plugins import Registry
from compiler.cli.outcome import UsageProblem
from compiler.cli.subject import MODEL_SUFFIX
from compiler.pipeline import compile_files
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.suggest import did_you_mean


@dataclass(frozen=True)
class Revision:
    """A file in a revision, which is the `tree`, or "" for the index. `path` is from the root of the repository."""

    written: str
    tree: str
    path: PurePosixPath
    folder: Path

    def read(self, path: str) -> tuple[bytes, str]:
        """Return what a path relative to the spec's own folder holds, and the name to show."""
        whole = self.path.parent / path
        data = git("cat-file", "blob", f"{self.tree}:{whole}", folder=self.folder)
        if data is None:
            raise FileNotFoundError(path)
        return data, f"{self.written.partition(':')[0]}:{whole}"

    def artifact(
        self, settings: dict[str, str], preset: str | None, plugins: Registry, names: Sequence[str]
    ) -> Artifact:
        """Compile the spec, or the one in a saved model.

        Raises:
            SpecError: it is refused.
            FileError: it is no saved model.
        """
        if self.path.suffix == MODEL_SUFFIX:
            return self._saved(names)
        return compile_files(self.path.name, self, settings, preset, plugins, DEFAULT_LIMITS)

    def _saved(self, plugins: Sequence[str]) -> Artifact:
        from runtime.store import read_artifact

        with TemporaryDirectory() as folder:
            file = Path(folder) / self.path.name
            file.write_bytes(self.read(self.path.name)[0])
            return read_artifact(file, plugins)


def revision_of(text: str, folder: Path | None = None) -> Revision | None:
    """Return the file of a revision that a text names, None for one that is no `REVISION:PATH`.

    Raises:
        UsageProblem: there is no such revision, or no such file in it.
    """
    name, colon, path = text.partition(":")
    here = folder or Path.cwd()
    if not colon or not name or not path or os.path.exists(text):
        return None
    root = git("rev-parse", "--show-prefix", folder=here)
    if root is None:
        raise UsageProblem(f"`{text}` names a revision, and there is no git repository here")
    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", folder=here)
    if commit is None:
        raise UsageProblem(f"there is no revision `{name}`", "`git log --oneline` lists them")
    prefix = root.decode().strip() if path.startswith(("./", "../")) else ""
    whole = PurePosixPath(os.path.normpath(f"{prefix}{path}"))
    found = Revision(text, commit.decode().strip(), whole, here)
    if git("cat-file", "-e", f"{found.tree}:{whole}", folder=here) is None:
        raise UsageProblem(f"there is no file `{path}` in `{name}`", _near(found, prefix))
    return found


def _near(revision: Revision, prefix: str) -> str | None:
    listed = git("ls-tree", "-r", "--full-tree", "--name-only", "-z", revision.tree, folder=revision.folder)
    files = [each.decode("utf-8", "replace") for each in (listed or b"").split(b"\0") if each]
    near = did_you_mean(str(revision.path), files)
    return f"did you mean `{revision.written.partition(':')[0]}:{near}`?" if near else None


def git(*arguments: str, folder: Path) -> bytes | None:
    """Return what git prints; None where it fails.

    Raises:
        UsageProblem: there is no git.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageProblem("a revision is named, and `git` is not installed") from None
    return done.stdout if done.returncode == 0 else None


def git_text(*arguments: str) -> str | None:
    """Return what git prints here, without the end of the line; None where it fails."""
    found = git(*arguments, folder=Path.cwd())
    return None if found is None else found.decode("utf-8", "replace").strip()
