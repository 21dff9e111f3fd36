"""Where a model goes on this computer: the devices that the caller names, and what `auto` is here."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from compiler.artifact import Artifact
from compiler.devices import AUTO
from compiler.other_devices import bytes_per_device, fill_auto, place
from compiler.placement.fill import Room, fill
from compiler.placement.places import placement_rule
from compiler.rules.plan import Plan, PlanRow
from runtime.devices import accelerators, resolve_device
from runtime.memory import MEMORY_SHARE
from spec_schema.diagnostics import refuse

LARGER = 1.25
"""By how much the memory of all accelerators is overestimated, again and again, for a model that may not fit."""

Devices = str | Mapping[str, str] | None
"""One device for the whole model, or `{selector: device}`: the caller's rules, after those of the spec."""


def settle(artifact: Artifact, chosen: Devices, allow_large: bool = False) -> Artifact:
    """Return the model on devices of this computer.

    `auto` is the first accelerator if the model has room there, and several of them otherwise.

    Raises:
        SpecError: a device is not there, there is too little memory, or the placement is refused.
        ValueError: the one device that the caller chooses is not there.
    """
    if isinstance(chosen, str):
        resolve_device(chosen)
        chosen = {"/": chosen}
    settled = place(artifact, chosen) if chosen else artifact
    target_devices(settled.plan)
    return spread(settled, allow_large)


def target_devices(plan: Plan) -> dict[str, torch.device]:
    """Return the devices of this computer that those of a plan are.

    Raises:
        SpecError: one is not there.
    """
    first: dict[str, PlanRow] = {}
    for row in plan.rows:
        first.setdefault(row.device, row)
    return {name: _target(row) for name, row in first.items()}


def _target(row: PlanRow) -> torch.device:
    try:
        return resolve_device(row.device)
    except ValueError as error:
        raise refuse(
            "missing-device",
            str(error),
            placement_rule(row.decisions),
            help="choose another one with `--device`, such as `--device cpu`",
        ) from None


def spread(artifact: Artifact, allow_large: bool) -> Artifact:
    """Return the model with what is on `auto` spread over the accelerators, if it takes more than the first has.

    Raises:
        SpecError: there is too little memory on all of them, and that is not allowed.
    """
    taken = bytes_per_device(artifact.plan.rows)
    rooms = accelerator_rooms(taken)
    if len(rooms) < 2 or taken.get(AUTO, 0) <= rooms[0][1]:
        return artifact
    assigned = fill(artifact.plan, rooms)
    while assigned is None and allow_large:
        rooms = [(name, max(room, 1) * LARGER) for name, room in rooms]
        assigned = fill(artifact.plan, rooms)
    if assigned is None:
        total = sum(room for _, room in rooms)
        raise refuse(
            "too-large-to-build",
            f"the parameters take {taken[AUTO] / 2**30:.1f} GiB, and {total / 2**30:.1f} GiB is the limit on "
            f"{len(rooms)} accelerators",
            artifact.program.model.span,
            help="give `--allow-large`, or `allow_large=True` in Python, to build it all the same",
        )
    return fill_auto(artifact, assigned)


def accelerator_rooms(taken: Mapping[str, int]) -> list[Room]:
    """Return what each accelerator has for a model, beside the bytes that are taken on it."""
    found = []
    for device in accelerators():
        room = float("inf") if device.memory is None else device.memory * MEMORY_SHARE
        found.append((device.name, room - taken.get(device.name, 0)))
    return found
