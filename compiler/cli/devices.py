"""`devices`: the devices there are."""

from __future__ import annotations

import json

from compiler.cli.console import out, status, table
from compiler.cli.options import OutputFormat
from compiler.cli.outcome import Format

GIB = 2**30


def devices(format: OutputFormat = Format.text) -> None:
    """List the devices of this computer, and say which one `auto` is."""
    with status("looking for devices"):
        from runtime.devices import devices as find
        from runtime.devices import resolve_device

        found = find()
        auto = str(resolve_device("auto"))
    if format is Format.json:
        entries = [{"name": each.name, "title": each.title, "memory": each.memory} for each in found]
        print(json.dumps({"auto": auto, "devices": entries}, indent=2))
        return
    if format is Format.short:
        print("\n".join(each.name for each in found))
        return
    rows = table("device", "what it is", "memory", numbers=frozenset({"memory"}))
    for each in found:
        memory = f"{each.memory / GIB:.1f} GiB" if each.memory is not None else ""
        rows.add_row(each.name, each.title, memory)
    console = out()
    console.print(rows)
    console.print(f"\n`auto` is {auto} here: the first accelerator, else the CPU.")
