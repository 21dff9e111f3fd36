"""Types of images, and arguments with a number for each dimension."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from compiler.catalogue.hints import Hints

RANKS = (1, 2, 3)
SIDES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""The names of the dimensions after the channels."""


def each_rank(name: str, make: Callable[[int], Hints], ranks: tuple[int, ...] = RANKS) -> dict[str, Hints]:
    """Return the hints of layers that differ in the number of dimensions alone."""
    return {f"{name}{rank}d": make(rank) for rank in ranks}


def images(rank: int, channels: str = "channels") -> list[str]:
    """Return the types of a batch of images, and of one image."""
    inside = ", ".join((channels, *SIDES[rank]))
    return [f"float[batch, {inside}]", f"float[{inside}]"]


def sides(rank: int, smallest: int, largest: int) -> dict[str, tuple[int, int]]:
    """Return the range of the sizes after the channels."""
    return dict.fromkeys(SIDES[rank], (smallest, largest))


def numbers(rank: int, *choices: int) -> st.SearchStrategy[int | list[int]]:
    """Return a strategy for an argument that is one number, or one for each dimension."""
    one = st.sampled_from(choices)
    return one | st.lists(one, min_size=rank, max_size=rank)
