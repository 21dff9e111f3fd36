"""`devices`: the devices there are, and what a model needs on each."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compiler.cli.console import out, say, status, table
from compiler.cli.options import Device, ImportPaths, OutputFormat, Plugins, Preset, Settings
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.placing import read_devices
from compiler.cli.subject import Subject
from compiler.cli.summary import memory_text

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from compiler.placement.memory import Need
    from compiler.placement.transfers import Transfers
    from runtime.devices import Device as Found

GIB = 2**30
MaybeSpec = Annotated[
    Path | None,
    typer.Argument(metavar="[SPEC]", show_default=False, help="Show what this spec, or model file, needs."),
]


def devices(
    spec: MaybeSpec = None,
    set_: Settings = None,
    preset: Preset = None,
    device: Device = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    format: OutputFormat = Format.text,
) -> None:
    """List the devices of this computer, or what a model needs on each of its devices.

    With a spec: the memory for parameters, buffers and gradients on each device that its placement names, and where
    values move between them. The devices need not be there.
    """
    if spec is not None:
        _show_needs(_placed(Subject(spec, set_, preset, plugin, import_path), device), format)
        return
    if set_ or preset or device or plugin or import_path:
        raise UsageProblem("these options are for a spec", "name one: `devices SPEC`")
    with status("looking for devices"):
        from runtime.devices import devices as find
        from runtime.devices import resolve_device

        found = find()
        auto = str(resolve_device("auto"))
    _show_devices(found, auto, format)


def _show_devices(found: list[Found], auto: str, format: Format) -> None:
    if format is Format.json:
        entries = [{"name": each.name, "title": each.title, "memory": each.memory} for each in found]
        print(json.dumps({"auto": auto, "devices": entries}, indent=2))
        return
    if format is Format.short:
        say(*(each.name for each in found))
        return
    rows = table("device", "what it is", "memory", numbers=frozenset({"memory"}))
    for each in found:
        memory = f"{each.memory / GIB:.1f} GiB" if each.memory is not None else ""
        rows.add_row(each.name, each.title, memory)
    console = out()
    console.print(rows)
    console.print(f"\n`auto` is {auto} here: the first accelerator, else the CPU.")


# --- what a model needs ---------------------------------------------------------------------------------


def _placed(subject: Subject, device: list[str] | None) -> Artifact:
    """Return the model where the caller's options put it, and `auto` where it is on this computer."""
    chosen = read_devices(device)
    artifact = subject.artifact()
    with status("placing the model"):
        from compiler.other_devices import place
        from runtime.placement import spread

        if chosen is not None:
            artifact = place(artifact, {"/": chosen} if isinstance(chosen, str) else chosen)
        return spread(artifact, allow_large=True)


def _show_needs(artifact: Artifact, format: Format) -> None:
    from compiler.placement.check import find_transfers
    from compiler.placement.memory import needs

    found, moves = needs(artifact.plan), find_transfers(artifact.inferred, artifact.plan)
    match format:
        case Format.json:
            print(
                json.dumps({"devices": [_as_json(each) for each in found], "moves": _moves(moves)}, indent=2)
            )
        case Format.short:
            for each in found:
                say(f"{each.device}: {memory_text(each.total)}")
        case Format.text:
            _print_needs(found, moves)


def _print_needs(found: list[Need], moves: Transfers) -> None:
    columns = ("parameters", "buffers", "gradients", "in all")
    rows = table("device", *columns, numbers=columns)
    for each in found:
        sizes = (each.parameters, each.buffers, each.gradients, each.total)
        rows.add_row(_title(each.device), *(memory_text(size) if size else "" for size in sizes))
    console = out()
    console.print(rows)
    if moves.routes:
        console.print("\nValues move:")
    for move in _moves(moves):
        console.print(
            f"  {move['place']}: from {move['from']} to {move['to']}", soft_wrap=True, highlight=False
        )


def _title(device: str) -> str:
    """Return a device, and for `auto` which one it is here."""
    from compiler.devices import AUTO
    from runtime.devices import resolve_device

    return f"{AUTO}, {resolve_device(AUTO)} here" if device == AUTO else device


def _moves(moves: Transfers) -> list[dict[str, str]]:
    return [{"place": str(span), "from": source, "to": target} for span, source, target in moves.routes]


def _as_json(need: Need) -> dict[str, Any]:
    return {**asdict(need), "total": need.total}
