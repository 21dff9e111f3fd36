"""The benchmark of accelerators measures all of its rows on a device, and says so where there is none."""

from __future__ import annotations

import pytest
import torch

from benchmarks.accelerator import BANDWIDTH, WORKS, measured, rows


def test_all_rows_are_measured_on_a_device() -> None:
    sizes = {"vocab": 100, "context": 32, "dim": 32, "depth": 2, "heads": 4}
    found = list(measured(torch.device("cpu"), sizes, rounds=2))
    parts = [row.work.removeprefix("GPT-2 on cpu: ").removesuffix(" ÷ by hand") for row in found]
    assert set(parts) == {*WORKS, BANDWIDTH}
    assert all(len(row.samples) == 2 and min(row.samples) > 0 for row in found)


def test_without_an_accelerator_each_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    found = list(rows(quick=True))
    assert len(found) == len(WORKS) + 1
    assert {row.note for row in found} == {"there is no accelerator here"}
    assert all(row.samples == () and row.limit is not None for row in found)
