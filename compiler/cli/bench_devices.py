"""`bench` without a spec: a matrix product and a sum on each device, and where an accelerator begins to win."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from compiler.cli.console import err, out, say, status, table
from compiler.cli.outcome import Format, UsageProblem

if TYPE_CHECKING:
    from runtime.bench import Timing, Work

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (0.0, "ns"))


def named_devices(given: Sequence[str] | None) -> list[str]:
    """Return the full names of devices, each once; all devices if none is given. UsageProblem if one is not there."""
    with status("looking for devices"):
        from runtime.devices import devices, resolve_device

        names = [name.strip() for text in given or () for name in text.split(",")]
        try:
            found = [str(resolve_device(name)) for name in names or [each.name for each in devices()]]
        except ValueError as error:
            raise UsageProblem(str(error)) from None
    if "meta" in found:
        raise UsageProblem("the device `meta` computes nothing that could be timed")
    return list(dict.fromkeys(found))


def bench_devices(names: list[str], seconds: float, format: Format) -> None:
    """Time a matrix product and a sum, and print what comes of it."""
    from runtime.bench import WORKS, bench

    with progress(sum(len(work.sizes) for work in WORKS) * len(names)) as advance:
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
def progress(total: int) -> Iterator[Any]:
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
    from runtime.bench import wins_from

    def first(name: str) -> str | None:
        size = wins_from(timings, work, name)
        return next((_size(t) for t in timings if t.size == size), None)

    return verdicts(names, first, "the largest size")


def verdicts(names: Sequence[str], first: Callable[[str], str | None], last: str) -> Iterator[str]:
    """Yield for each accelerator from where on it is faster than the CPU, which `first` tells."""
    from runtime.bench import CPU

    others = [name for name in names if name != CPU]
    if not others:
        yield "There is no accelerator among the devices: nothing to compare the CPU with."
    elif CPU not in names:
        yield "The CPU was not timed: nothing to compare with."
    else:
        for name in others:
            where = first(name)
            if where is None:
                yield f"{name} is not faster than the CPU, up to {last}."
            else:
                yield f"{name} is faster than the CPU from {where} on."


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
