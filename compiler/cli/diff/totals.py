"""What two models take: parameters, memory, and the operations of one forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compiler.artifact import Artifact


@dataclass(frozen=True)
class Totals:
    """What one model takes. `sizes` are those of the open dimensions for which the operations are counted."""

    parameters: int
    trainable: int
    bytes: int
    flops: int
    sizes: Mapping[str, int]


def totals_of(artifact: Artifact) -> Totals:
    """Return what a compiled spec takes: it is run once without values."""
    from compiler.cli.summary import read_summary

    found = read_summary(artifact)
    return Totals(found.parameters, found.trainable, found.bytes, found.flops, dict(found.sizes))


def share(before: int, after: int) -> str:
    """Return how much more or less it is: `−39.2 %`."""
    change = 100 * (after - before) / before
    if change >= 900:
        return f"× {after / before:.3g}"
    sign = "−" if change < 0 else "+"
    return f"{sign}{abs(change):.1f} %" if abs(change) >= 0.05 else f"{sign}less than 0.05 %"


def sizes_text(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Return the sizes of open dimensions, both where they differ."""
    sizes = (
        f"{name} {' → '.join(dict.fromkeys(str(each[name]) for each in (before, after) if name in each))}"
        for name in dict.fromkeys([*before, *after])
    )
    return ", ".join(sizes)
