"""How many examples Hypothesis draws: HYPOTHESIS_PROFILE=quick, ci (the default), full or long.

The examples of `ci` and `full` are the same in each run, so that a change is judged by itself; `quick` and `long` go
on looking, and a failure prints the blob that repeats it. Hypothesis draws constants that it finds in the modules of a
project which are imported by then, so that examples differ with the code and with the tests that ran before: `ci` and
`full` draw none.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

REPEATED = ("ci", "full")
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
"""A whole spec takes more draws, and more time, than Hypothesis expects of an example."""

for name, examples in (("quick", 50), ("ci", 200), ("full", 500), ("long", 20_000)):
    settings.register_profile(
        name,
        max_examples=examples,
        derandomize=name in REPEATED,
        deadline=None,
        print_blob=True,
        suppress_health_check=SLOW,
    )
os.environ["BLOCKPRINT_CACHE"] = "off"  # what a test prints is not what an earlier one has printed
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(PROFILE)
if PROFILE in REPEATED:
    assert callable(providers._get_local_constants)
    providers._get_local_constants = Constants


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no worker is left with it when the others have nothing to do."""
    items.sort(key=lambda item: item.path.parent.name != "properties")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the slowest and the largest mutant of a spec took, wherever it ran."""
    found = [dict(report.user_properties) for report in terminalreporter.getreports("passed")]
    measured = [each for each in found if {"slowest", "largest"} <= each.keys()]
    if measured:
        seconds, slow = max(each["slowest"] for each in measured)
        megabytes, large = max(each["largest"] for each in measured)
        terminalreporter.write_line(f"slowest mutant: {seconds:.2f} s of CPU, {slow}")
        terminalreporter.write_line(f"largest mutant: {megabytes} MB, {large}")


@pytest.fixture(scope="module", autouse=True)
def _left_alone() -> Iterator[None]:
    """Let the garbage collector not go over what earlier modules left: so much that a pass takes seconds."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: over tensors of a few elements, several would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
