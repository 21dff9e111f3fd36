"""The devices there are, and what `auto` means."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from compiler.devices import AUTO, device_name, device_problem
from spec_schema.shown import shown


@dataclass(frozen=True)
class Device:
    """A device that torch can use. `memory` is in bytes, None where torch does not tell."""

    name: str
    title: str
    memory: int | None


def devices() -> list[Device]:
    """Return the devices of this machine, accelerators first."""
    found = []
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is not None:
        for index in range(torch.accelerator.device_count()):
            found.append(_accelerator(accelerator.type, index))
    found.append(Device("cpu", f"{torch.get_num_threads()} threads", None))
    return found


def accelerators() -> list[Device]:
    """Return the devices of this machine without the CPU."""
    return [device for device in devices() if device.name != "cpu"]


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of memory of a device, None where torch does not tell."""
    return next((each.memory for each in devices() if each.name == str(device)), None)


def _accelerator(kind: str, index: int) -> Device:
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(index)
        return Device(f"{kind}:{index}", properties.name, properties.total_memory)
    return Device(f"{kind}:{index}", kind, None)


def resolve_device(name: str) -> torch.device:
    """Return the device that a name stands for; `auto` is the first accelerator, else the CPU.

    Raises:
        ValueError: there is no such device here, or torch knows none of that name.
    """
    known = [device.name for device in devices()]
    if name == AUTO:
        return torch.device(known[0])
    problem, full = device_problem(name, None), device_name(name)
    if problem is not None or full not in (*known, "meta"):
        hint = f"; {problem.help}" if problem is not None else ""
        raise ValueError(f"there is no device `{shown(name)}` here, only {', '.join(known)}{hint}")
    return torch.device(full)
