"""Who is there: the ranks of a run find each other in a store, which also tells which of them failed first."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from datetime import timedelta

from torch.distributed import (  # type: ignore[attr-defined]
    DistError,
    DistStoreError,
    PrefixStore,
    Store,
    TCPStore,
)

LIMIT = timedelta(minutes=10)
"""After so long a rank that does not answer is taken for lost."""
MOMENT = 2.0
"""Seconds in which the other ranks notice that one is gone."""
HERE, LEFT, FAILED, CHECKPOINT = "here", "left", "failed", "checkpoint"


RESTARTS = "TORCHELASTIC_RESTART_COUNT"


class RankError(ValueError):
    """The ranks of a model are not those of its mesh, do not agree, or do not answer."""


def started() -> bool:
    """Return whether this process was started as a rank, by `torchrun` or alike."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def place_of(name: str) -> int:
    """Return a number of this rank, such as `RANK` or `LOCAL_RANK`."""
    return int(os.environ.get(name, "0"))


@dataclass(frozen=True)
class Attendance:
    """The ranks of a run, of which this process is one."""

    store: Store
    """That of this start of the ranks ..."""
    run: Store
    """... and that of all, in which `torchrun` starts them again."""
    rank: int
    count: int
    limit: timedelta

    def wait_for_all(self) -> None:
        """Wait until all ranks are there.

        Raises:
            RankError: some did not come in time; the error says which.
        """
        self.store.set(f"{HERE}/{self.rank}", "")
        try:
            self.store.wait([f"{HERE}/{rank}" for rank in range(self.count)], self.limit)
        except DistStoreError:
            missing = self._without(HERE)
            seconds = self.limit.total_seconds()
            raise RankError(f"{_ranks(missing)} did not come within {seconds:g} s") from None

    def is_first_to_fail(self) -> bool:
        """Return whether no rank has failed before this one, which is then to say why."""
        return self.store.add(FAILED, 1) == 1

    def lost(self, error: Exception) -> RankError:
        """Return which ranks are gone, once a message to one of them has failed: those that do not notice it too."""
        self.store.set(f"{LEFT}/{self.rank}", "")
        end = time.monotonic() + MOMENT
        while len(missing := self._without(LEFT)) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        missing = missing or [self.rank]
        return RankError(f"{_ranks(missing)} no longer answered: {_first_words(error)}")

    def note_checkpoint(self) -> None:
        """Remember over restarts that this run has a checkpoint."""
        self.run.set(CHECKPOINT, "")

    def goes_on(self) -> bool:
        """Return whether the ranks were started again, after there was a checkpoint."""
        return bool(place_of(RESTARTS)) and self.run.check([CHECKPOINT])

    def _without(self, mark: str) -> list[int]:
        return [rank for rank in range(self.count) if not self.store.check([f"{mark}/{rank}"])]


def attend(limit: timedelta = LIMIT) -> Attendance:
    """Let this process be the rank that it was started as.

    Raises:
        RankError: it was not started as one, or the store of the ranks cannot be reached.
    """
    if not started():
        raise RankError(
            "a model on a mesh needs ranks, and this process is none: start it by `torchrun --nproc-per-node N`"
        )
    address, port = os.environ.get("MASTER_ADDR", "localhost"), place_of("MASTER_PORT")
    known = _ATTENDANCES.get((address, port))
    if known is not None:
        return known
    rank, of_torchrun = place_of("RANK"), os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = TCPStore(address, port, None, rank == 0 and not of_torchrun, limit, wait_for_workers=False)
    except DistError as error:
        raise RankError(f"no store of the ranks at {address}:{port}: {str(error).splitlines()[0]}") from None
    run = PrefixStore("blockprint", store)
    made = Attendance(PrefixStore(str(place_of(RESTARTS)), run), run, rank, place_of("WORLD_SIZE"), limit)
    return _ATTENDANCES.setdefault((address, port), made)


_ATTENDANCES: dict[tuple[str, int], Attendance] = {}
"""A process is a rank once: where the store is its own, a second one could not be opened."""


def _ranks(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers))
    return f"rank {shown}" if len(numbers) == 1 else f"ranks {shown}"


def _first_words(error: Exception) -> str:
    """Return what torch says, without the line of its source and its advice."""
    return re.sub(r"^\[[^]]*\] ", "", str(error).splitlines()[0]).split(" [")[0]


def is_lost(error: BaseException) -> bool:
    """Return whether an error says that another rank does not answer."""
    return isinstance(error, DistError) or "gloo/transport" in str(error)


def note_checkpoint() -> None:
    """Remember, where this is a rank of several starts, that there is a checkpoint to go on from."""
    if started():
        attend().note_checkpoint()


def goes_on() -> bool:
    """Return whether this is a rank that was started again, after there was a checkpoint."""
    return started() and attend().goes_on()
