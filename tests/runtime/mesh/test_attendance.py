"""Ranks find each other, say who is missing, and only one of them says why all end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from torch.distributed import HashStore, Store

from runtime.mesh import attendance
from runtime.mesh.attendance import Attendance, RankError


def of(store: Store, rank: int, seconds: float = 0.2) -> Attendance:
    return Attendance(store, store, rank, 3, timedelta(seconds=seconds))


@pytest.fixture
def store() -> Store:
    return HashStore()


def test_who_does_not_come_is_named(store: Store) -> None:
    with pytest.raises(RankError, match=r"^ranks 1, 2 did not come within 0.2 s$"):
        of(store, 0).wait_for_all()
    store.set("here/2", "")
    with pytest.raises(RankError, match=r"^rank 1 did not come"):
        of(store, 0).wait_for_all()
    of(store, 1).wait_for_all()


def test_who_no_longer_answers_is_named(store: Store) -> None:
    store.set("left/0", "")
    error = RuntimeError(
        "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:3. See the logs"
    )
    assert attendance.is_lost(error)
    assert str(of(store, 2).lost(error)) == "rank 1 no longer answered: Connection closed by peer"


def test_the_first_to_fail_speaks(store: Store) -> None:
    assert [of(store, rank).is_first_to_fail() for rank in (2, 0, 1)] == [True, False, False]


def test_ranks_go_on_where_there_was_a_checkpoint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    of(store, 0).note_checkpoint()
    assert not of(store, 1).goes_on()
    monkeypatch.setenv(attendance.RESTARTS, "1")
    assert of(store, 1).goes_on()
    assert not of(HashStore(), 1).goes_on()


def test_a_process_that_is_no_rank_is_told_how_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(RankError, match="torchrun"):
        attendance.attend()
