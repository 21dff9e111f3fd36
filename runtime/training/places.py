"""Opens the files and folders that a source of data names, or refuses them in the place of the spec that names them."""

from __future__ import annotations

import mmap
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.folders import Folders, NoFileError, OutsideError, open_file
from spec_schema.source import Span


@dataclass(frozen=True)
class Named:
    """A path of a spec, and where it stands. A file in a folder that a spec names stands where the folder does."""

    path: str
    span: Span

    def inside(self, name: str) -> Named:
        """Return a file of this folder."""
        return Named(f"{self.path.rstrip('/')}/{name}", self.span)

    def broken(self, why: str, help: str | None = None) -> SpecError:
        """Return the refusal of what cannot be read; `why` goes on behind the path."""
        return refuse("data-broken", f"`{self.path}` {why}", self.span, help=help)

    def too_large(self, what: str, limit: int, help: str | None = None) -> SpecError:
        """Return the refusal of what takes more than `limit` bytes."""
        return refuse(
            "data-too-large",
            f"`{self.path}` is larger than {limit:,} bytes",
            self.span,
            notes=(what,),
            help=help or "give `--data-limit` a larger number, if there is memory for it",
        )

    def missing(self) -> SpecError:
        """Return the refusal of what is not there."""
        note = "the path is relative to the folder of the spec"
        return refuse("data-missing", f"there is no file `{self.path}`", self.span, notes=(note,))

    def outside(self) -> SpecError:
        """Return the refusal of what lies elsewhere."""
        return refuse(
            "data-outside",
            f"`{self.path}` is outside the spec's own folder",
            self.span,
            notes=("a file is where its links lead",),
            help="move it below the folder, or name its folder with `--data-path`",
        )


PRIVATE = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
"""Pages that may be written to, which nobody does: torch wants that. Linux would set memory aside for all of them, and
refuse a file that is larger than what there is; Python has no name for that flag before 3.13."""


def find(named: Named, folders: Folders) -> Path:
    """Return the file or folder that is named, links followed.

    Raises:
        SpecError: it is not there, or elsewhere.
    """
    with _located(named):
        return folders.find(named.path)


def open_named(named: Named, folders: Folders) -> BinaryIO:
    """Open the file that is named, an ordinary one.

    Raises:
        SpecError: it is not there, elsewhere, something else, or may not be read.
    """
    with _located(named):
        return open_file(folders.find(named.path))


def open_bounded(named: Named, folders: Folders, limit: int) -> BinaryIO:
    """Open the file that is named, as `open_named` does, if it takes no more than `limit` bytes."""
    file = open_named(named, folders)
    if (size := os.fstat(file.fileno()).st_size) > limit:
        file.close()
        raise named.too_large(f"it takes {size:,} bytes", limit)
    return file


def map_named(named: Named, folders: Folders) -> mmap.mmap:
    """Return the file that is named as memory, whose pages are read when they are looked at.

    Raises:
        SpecError: as `open_named`, or it is empty.
    """
    with open_named(named, folders) as file, _located(named):
        if not os.fstat(file.fileno()).st_size:
            raise named.broken("is empty")
        return mmap.mmap(file.fileno(), 0, PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)


def list_folder(named: Named, folders: Folders) -> list[str]:
    """Return the names in a folder in alphabetical order, without those that begin with a dot.

    Raises:
        SpecError: it is not there, elsewhere, no folder, or may not be read.
    """
    with _located(named):
        folder = folders.find(named.path)
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise named.broken("is no folder", help=f"name a file with `file: {named.path}`")
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))


@contextmanager
def _located(named: Named) -> Iterator[None]:
    try:
        yield
    except OutsideError:
        raise named.outside() from None
    except FileNotFoundError:
        raise named.missing() from None
    except NoFileError as error:
        raise named.broken(f"is {error}, and no ordinary file") from None
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise named.broken(f"cannot be read: {why}") from None
