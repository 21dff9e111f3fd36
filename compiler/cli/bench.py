"""`bench`: how fast a spec is, or each device, and where an accelerator begins to win."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compiler.cli.options import AllowLarge, ImportPaths, OutputFormat, Plugins, Preset, Seed, Settings
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.subject import Subject

BenchSpec = Annotated[
    Path | None,
    typer.Argument(
        metavar="SPEC",
        show_default=False,
        help="Time the forward of this spec or saved model, not a product and a sum.",
    ),
]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--devices",
        "--device",
        metavar="NAME,...",
        show_default="all",
        help="Time these devices.",
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(metavar="N,...", show_default="1,8,64", help="With a spec: so many items in an input."),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="FILE:NAME",
        show_default=False,
        help="With a spec: a Python file and a function of it that returns the same model, written by hand; it is "
        "timed in turns with the spec's. The file is run, with all rights that you have.",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        min=0.001,
        show_default="1; 0.2 without a spec",
        help="Repeat each of them for so many seconds.",
    ),
]


def bench(
    spec: BenchSpec = None,
    devices: Devices = None,
    batch: Batch = None,
    reference: Reference = None,
    seconds: Seconds = None,
    set_: Settings = None,
    preset: Preset = None,
    seed: Seed = 0,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Time the forward of a spec on each device, or a matrix product and a sum.

    It also says from which batch, or from which size, on an accelerator wins.
    """
    if spec is None:
        given = {"batch": batch, "reference": reference, "set": set_, "preset": preset, "plugin": plugin}
        for name in [name for name, value in given.items() if value is not None]:
            raise UsageProblem(
                f"`--{name}` is for a spec, and none is named", f"write `bench SPEC --{name} ...`"
            )
        from compiler.cli.bench_devices import bench_devices, named_devices

        bench_devices(named_devices(devices), seconds or 0.2, format)
    else:
        from compiler.cli.bench_spec import Wanted, bench_spec

        subject = Subject(spec, set_, preset, plugin, import_path)
        bench_spec(subject, Wanted(devices, batch, reference, seconds or 1.0, seed, allow_large), format)
