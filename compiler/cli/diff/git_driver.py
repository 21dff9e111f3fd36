"""`diff` as git calls it: with seven arguments for each file, or nine for one that was renamed.

Git ends where a program that compares has another status than 0, so what is no spec is compared as text. It says which
blobs it compares, and not of which revisions: imports are read as they are in one that has the blob.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from compiler.artifact import Artifact
from compiler.cli.console import say
from compiler.cli.diff.printed import Form, print_comparison
from compiler.cli.diff.revisions import Revision, git_text
from compiler.cli.diff.sides import Side, compared
from compiler.cli.outcome import is_bug, report
from compiler.load import DiskFiles
from compiler.pipeline import compile_files, registry
from spec_schema.limits import DEFAULT_LIMITS

NOTHING = "/dev/null"
SEEN = 50
"""Commits that are looked through for a blob."""


@dataclass(frozen=True)
class GitSide(Side):
    """One side of a file that git compares: where its contents are, and the name of its blob."""

    path: str = ""
    file: str = ""
    blob: str = ""

    def artifact(self) -> Artifact:
        subject = replace(self.subject, path=Path(self.file))
        if subject.is_model:
            return subject.artifact()
        files = _Files(Path(self.file), self.path, _tree(self.path, self.blob))
        name = PurePosixPath(self.path).name
        return compile_files(name, files, {}, None, registry(self.plugins), DEFAULT_LIMITS)


@dataclass(frozen=True)
class _Files:
    """A spec that git has written to a file, and what it imports: of a revision, or as it is now."""

    main: Path
    path: str
    tree: str | None

    def read(self, path: str) -> tuple[bytes, str]:
        spec = PurePosixPath(self.path)
        if path == spec.name:
            return self.main.read_bytes(), self.path
        if self.tree is None:
            return DiskFiles(Path(self.path)).read(path)
        return Revision(f"{self.tree[:9]}:{self.path}", self.tree, spec, Path.cwd()).read(path)


def _tree(path: str, blob: str) -> str | None:
    """Return a revision in which a file is this blob: "" for the index, None for the files as they are now."""
    if not blob.strip("0.") or not path:
        return None
    return next(
        (tree for tree in _trees(path, blob) if git_text("rev-parse", f"{tree}:{path}") == blob), None
    )


def _trees(path: str, blob: str) -> Iterator[str]:
    yield from ("HEAD", "")
    found = git_text("log", f"-{SEEN}", "--format=%H", f"--find-object={blob}", "--", path) or ""
    for commit in found.split():
        yield from (commit, f"{commit}^")


def from_git(arguments: Sequence[str], plugins: Sequence[str]) -> None:
    """Print what changed in one file."""
    path, old, old_blob, _, new, new_blob, _, *renamed = arguments
    after = renamed[0] if renamed else path
    before_side = GitSide(f"a/{path}", plugins=plugins, path=path, file=old, blob=old_blob)
    after_side = GitSide(f"b/{after}", plugins=plugins, path=after, file=new, blob=new_blob)
    if NOTHING in (old, new):
        say(f"{path} {'is new' if old == NOTHING else 'is gone'}")
        return
    try:
        found = compared((before_side, after_side), ())
    except Exception as error:
        if is_bug(error):
            raise
        report(error)
        _print_texts(before_side, after_side)
        return
    print_comparison(found, (before_side, after_side), Form.text, everything=False)


def _print_texts(before: GitSide, after: GitSide) -> None:
    """Print the difference of two texts, as git does."""
    ours, theirs = (Path(side.file).read_bytes().decode("utf-8", "replace") for side in (before, after))
    lines = (ours.splitlines(), theirs.splitlines())
    say(*difflib.unified_diff(lines[0], lines[1], before.name, after.name, lineterm=""))
