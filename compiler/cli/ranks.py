"""A command as one of several ranks, which `torchrun` started: one of them speaks, and all end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import typer

from compiler.cli.outcome import FileProblem, Status

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from runtime.mesh.attendance import Attendance


def started() -> bool:
    """Return whether this process was started as a rank."""
    return "RANK" in os.environ


def several() -> bool:
    """Return whether this process is one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and started()


@contextmanager
def as_rank() -> Iterator[None]:
    """Let the first rank print results, and the first one that fails say why: the others end without a word.

    Raises:
        FileProblem: the ranks are not those of the mesh, or one no longer answers.
    """
    if not started():
        yield
        return
    from runtime.mesh.attendance import RankError, attend, is_lost
    from runtime.mesh.ranks import leave

    attendance: Attendance | None = None
    try:
        attendance = attend()
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere if attendance.rank else sys.stdout):
            yield
        leave()
    except RankError as error:
        raise _said_once(attendance, FileProblem(str(error))) from error
    except Exception as error:
        found = FileProblem(str(attendance.lost(error))) if attendance and is_lost(error) else error
        raise _said_once(attendance, found) from error
    except KeyboardInterrupt:
        if attendance is not None and not attendance.is_first_to_fail():
            raise typer.Exit(Status.INTERRUPTED) from None
        raise


def check_started(artifact: Artifact, sizes: Mapping[str, int]) -> None:
    """Make sure that as many ranks were started as the mesh of a spec has. RankError otherwise."""
    from runtime.mesh.ranks import check_count

    plan = artifact.mesh_of(sizes)
    if plan is not None:  # else the training says that there is none
        check_count(plan, int(os.environ["WORLD_SIZE"]))


def _said_once(attendance: Attendance | None, error: Exception) -> Exception:
    """Return an error, or a silent end if another rank has one to tell."""
    if attendance is None or isinstance(error, typer.Exit) or attendance.is_first_to_fail():
        return error
    return typer.Exit(Status.REFUSED)
