"""Where torch speaks of what a layer does not do."""

from __future__ import annotations

PLACE = "https://github.com/pytorch/pytorch"


def issue(number: int) -> str:
    """Return the address of an issue of torch."""
    return f"{PLACE}/issues/{number}"


def pull(number: int) -> str:
    """Return the address of a pull request of torch."""
    return f"{PLACE}/pull/{number}"
