"""Statistics against torch's own, and what has none."""

from __future__ import annotations

import pytest
import torch

from runtime.statistics import Statistics, statistics


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8])
def test_they_are_those_of_the_values_in_float64(dtype: torch.dtype) -> None:
    tensor = (torch.arange(12).reshape(3, 4) * 7 % 5).to(dtype)
    values = tensor.double()
    assert statistics(tensor) == Statistics(
        values.mean().item(), values.std().item(), 0.0, 4.0, values.norm().item()
    )


def test_large_numbers_of_low_precision_do_not_overflow() -> None:
    found = statistics(torch.full((1000,), 60000.0, dtype=torch.float16))
    assert found.mean == 60000.0
    assert found.norm == pytest.approx(60000.0 * 1000**0.5)


def test_complex_numbers_have_no_order() -> None:
    assert statistics(torch.tensor([3 + 4j, 0j])) == Statistics(2.5, 12.5**0.5, None, None, 5.0)


def test_one_value_has_no_deviation_and_none_has_nothing() -> None:
    assert statistics(torch.tensor(2.0)) == Statistics(2.0, None, 2.0, 2.0, 2.0)
    assert statistics(torch.empty(0)) == Statistics(None, None, None, None, 0.0)


def test_truth_values_count_as_0_and_1() -> None:
    found = statistics(torch.tensor([True, False, True, True]))
    assert (found.mean, found.min, found.max) == (0.75, 0.0, 1.0)
