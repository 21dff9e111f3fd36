"""The inputs that the fuzzer found, each of which reaches something of its own, without the fuzzer: `make fuzz`."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.targets import TARGETS, one_input

CORPUS = sorted(Path(__file__).with_name("corpus").iterdir())


def test_what_the_fuzzer_found_is_accepted_or_refused_in_its_place() -> None:
    for path in CORPUS:
        one_input(path.read_bytes())


def test_there_is_something_for_each_target() -> None:
    firsts = {path.read_bytes()[0] % len(TARGETS) for path in CORPUS if path.stat().st_size}
    assert firsts == set(range(len(TARGETS)))
