"""`bench`: how fast each device is, and where an accelerator begins to win."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from compiler.cli.console import err, out, say, status, table
from compiler.cli.options import OutputFormat
from compiler.cli.outcome import Format, UsageProblem

if TYPE_CHECKING:
    from runtime.bench import Timing, Work

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (0.0, "ns"))
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="NAME",
        show_default=False,
        help="Time this device; may be given several times. [default: all]",
    ),
]
Seconds = Annotated[
    float, typer.Option(metavar="S", min=0.001, help="Repeat each product and sum for so many seconds.")
]


def bench(device: Devices = None, seconds: Seconds = 0.2, format: OutputFormat = Format.text) -> None:
    """Time a matrix product and a sum on each device.

    It also says from which size on an accelerator wins: a large product keeps it busy, and for a small sum the way
    there takes longer than the sum.
    """
    with status("looking for devices"):
        from runtime.bench import WORKS, bench
        from runtime.devices import devices, resolve_device

        try:
            names = [str(resolve_device(name)) for name in device or [each.name for each in devices()]]
        except ValueError as error:
            raise UsageProblem(str(error)) from None
    names = list(dict.fromkeys(names))
    with _progress(sum(len(work.sizes) for work in WORKS) * len(names)) as advance:
        timings = bench(names, WORKS, seconds, advance)
    match format:
        case Format.json:
            print(json.dumps(_as_json(timings, names), indent=2))
        case Format.short:
            for t in timings:
                say(f"{t.work.name} {_size(t)} {t.device} {time_text(t.seconds)}")
        case Format.text:
            for work in WORKS:
                print_work(work, [t for t in timings if t.work is work], names)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Show on a terminal how much is done; yield what is to be called after each timing."""
    console = err()
    columns = (TextColumn("timing"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda timing: progress.advance(task)


def print_work(work: Work, timings: list[Timing], names: list[str]) -> None:
    """Print a row per size and a column per device, and which device wins from where on."""
    console = out()
    rows = table(work.name, *names, numbers=names)
    for size in work.sizes:
        row = {t.device: t for t in timings if t.size == size}
        rows.add_row(_size(row[names[0]]), *(time_text(row[name].seconds) for name in names))
    console.print(rows)
    for line in _verdicts(work, timings, names):
        console.print(line)
    console.print()


def _verdicts(work: Work, timings: list[Timing], names: list[str]) -> Iterator[str]:
    from runtime.bench import CPU, wins_from

    others = [name for name in names if name != CPU]
    if not others:
        yield "There is no accelerator among the devices: nothing to compare the CPU with."
    elif CPU not in names:
        yield "The CPU was not timed: nothing to compare with."
    else:
        for name in others:
            first = wins_from(timings, work, name)
            if first is None:
                yield f"{name} is not faster than the CPU, up to the largest size."
            else:
                at = next(t for t in timings if t.size == first)
                yield f"{name} is faster than the CPU from {_size(at)} on."


def _size(timing: Timing) -> str:
    return " × ".join(f"{n:,}" for n in timing.work.shape(timing.size))


def time_text(seconds: float) -> str:
    """Return a time with three figures: `12.3 µs`."""
    unit, name = next((unit, name) for unit, name in UNITS if seconds >= 0.9995 * unit)
    return f"{seconds / (unit or 1e-9):.3g} {name}"


def _as_json(timings: list[Timing], names: list[str]) -> dict[str, Any]:
    from runtime.bench import CPU, WORKS, wins_from

    rows = [{"work": t.work.name, "size": t.size, "device": t.device, "seconds": t.seconds} for t in timings]
    others = [name for name in names if name != CPU and CPU in names]
    wins = {
        work.name: {name: wins_from([t for t in timings if t.work is work], work, name) for name in others}
        for work in WORKS
    }
    return {"timings": rows, "faster_than_cpu_from": wins}
