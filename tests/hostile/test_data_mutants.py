"""Some of the hostile files of data; more with `python -m tests.hostile.data_files COUNT`."""

from __future__ import annotations

from tests.hostile.data_files import attempts


def test_hostile_data_are_data_or_refused() -> None:
    found: list[str] = []
    codes = attempts(range(400), lambda number, error: found.append(f"{number}: {error!r}"))
    assert not found
    assert codes.keys() >= {"data", "data-broken", "data-outside", "data-missing", "unknown-array"}
