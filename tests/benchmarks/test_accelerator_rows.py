"""The benchmark of accelerators measures all of its rows on a device, and says so where there is none."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from benchmarks.accelerator import BANDWIDTH, SPEC, WORKS, measured, rows
from benchmarks.gpt2 import Gpt2

SIZES = {"vocab": 100, "context": 32, "dim": 32, "depth": 2, "heads": 4}


def test_the_module_by_hand_is_that_of_the_spec() -> None:
    model, twin = runtime.build(compiler.compile(SPEC, set=SIZES), device="cpu"), Gpt2(**SIZES)
    twin.load_state_dict(model.state_dict())
    tokens = torch.randint(100, (3, 20))
    torch.testing.assert_close(model(tokens), twin(tokens))


def test_all_rows_are_measured_on_a_device() -> None:
    found = list(measured(torch.device("cpu"), SIZES, rounds=2))
    parts = [row.work.removeprefix("GPT-2 on cpu: ").removesuffix(" ÷ by hand") for row in found]
    assert set(parts) == {*WORKS, BANDWIDTH}
    assert all(len(row.samples) == 2 and min(row.samples) > 0 for row in found)


def test_without_an_accelerator_each_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    found = list(rows(quick=True))
    assert len(found) == len(WORKS) + 1
    assert {row.note for row in found} == {"there is no accelerator here"}
    assert all(row.samples == () and row.limit is not None for row in found)
