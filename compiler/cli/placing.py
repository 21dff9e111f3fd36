"""What `--device` says: one device for the whole model, or devices of its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from compiler.cli.outcome import UsageProblem

BETWEEN = re.compile(r",(?![^{\[]*[}\]])")
"""A comma that stands in no bracket of a selector."""


def read_devices(given: Sequence[str] | None) -> str | dict[str, str] | None:
    """Return the device, or `{selector: device}`, that options such as `encoder=cuda:0,decoder=cpu` name.

    Raises:
        UsageProblem: an option names nothing.
    """
    found: dict[str, str] = {}
    for entry in [part.strip() for text in given or () for part in BETWEEN.split(text)]:
        selector, equals, device = (part.strip() for part in entry.rpartition("="))
        if not device or (equals and not selector):
            raise UsageProblem(f"`--device {entry}` names no device", "write `cpu` or `encoder=cuda:0`")
        found.pop(selector or "/", None)  # the later one wins
        found[selector or "/"] = device
    whole = found.get("/")
    return whole if whole is not None and len(found) == 1 else found or None


def check_devices(chosen: str | Mapping[str, str] | None) -> None:
    """Make sure that this computer has the devices. UsageProblem, with the ones that it has, otherwise."""
    if chosen is None:
        return
    from runtime.devices import resolve_device

    for device in [chosen] if isinstance(chosen, str) else chosen.values():
        try:
            resolve_device(device)
        except ValueError as error:
            raise UsageProblem(str(error)) from None
