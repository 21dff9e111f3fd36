"""What benchmarks measure with tells what is there: ratios, slopes, processes and their memory."""

from __future__ import annotations

import pytest

from benchmarks.measured import Row, enough, in_turns, process, processes_in_turns, slope, slopes, times


class Ticks:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_a_ratio_is_what_ours_takes_by_what_theirs_takes() -> None:
    clock = Ticks()
    ratios = in_turns(lambda: clock.spend(0.3), lambda: clock.spend(0.2), 5, clock)
    assert ratios == pytest.approx([1.5] * 5)


def test_every_second_round_goes_backwards() -> None:
    clock, order = Ticks(), []

    def call(name: str) -> None:
        order.append(name)
        clock.spend(1.0)

    times([lambda: call("ours"), lambda: call("theirs")], 3, clock)
    assert order[-6:] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_what_is_short_is_repeated() -> None:
    clock = Ticks()
    assert enough(lambda: clock.spend(0.001), 0.02, clock) in range(20, 41)
    assert enough(lambda: clock.spend(1.0), 0.02, clock) == 1


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_a_slope_is_the_power_with_which_time_grows(power: float) -> None:
    assert slope([10, 100, 1000], [3 * size**power for size in (10, 100, 1000)]) == pytest.approx(power)


def test_slopes_are_measured() -> None:
    found = slopes(lambda size: lambda: sum(range(size)), [10_000, 100_000], 3)
    assert all(0.5 < each < 1.5 for each in found)


def test_a_process_has_memory_of_its_own() -> None:
    ballast = bytearray(b"1" * (256 * 2**20))
    small, large = process("-c", "pass"), process("-c", "bytearray(b'1' * (100 * 2**20))")
    assert small.peak < 64 * 2**20 < len(ballast)
    assert small.peak + 90 * 2**20 < large.peak
    assert 0 < small.seconds < large.seconds


def test_a_process_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="it is broken"):
        process("-c", "raise SystemExit('it is broken')")


def test_processes_are_measured_in_turns() -> None:
    found = processes_in_turns(["-c", "sum(range(10**7))"], ["-c", "pass"], 2)
    assert len(found) == 2
    assert all(ours.seconds > theirs.seconds for ours, theirs in found)


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row(1, "w", (1.0, 2.0, 9.0), limit=2.0), True),
        (Row(1, "w", (1.0, 2.1, 2.2), limit=2.0), False),
        (Row(1, "w", (0.7,), limit=0.8, at_least=True), False),
        (Row(1, "w", (0.9,), limit=0.8, at_least=True), True),
        (Row(1, "w", (0.9,)), None),
        (Row(1, "w", (), limit=1.0), None),
    ],
)
def test_the_median_reaches_the_limit_or_not(row: Row, reached: bool | None) -> None:
    assert row.reached is reached
