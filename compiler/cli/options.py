"""The arguments and options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compiler.cli.outcome import Format, chosen_format
from spec_schema.limits import DEFAULT_LIMITS


def _note_format(value: Format) -> Format:
    chosen_format.set(value)
    return value


Spec = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC", show_default=False, help="A spec (YAML or JSON), or a model file that `run` saved."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Give a value to a variable of the spec's `vars`.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", show_default=False, help="Use a set of values that the spec names in `presets`."
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        show_default=False,
        help="Load a plugin: a .py file or the name of a module; `file.py:Layer` for a class as it is.",
    ),
]
ImportPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--import-path",
        metavar="FOLDER",
        show_default=False,
        help="Look for imported specs here too, beside the spec's own folder.",
    ),
]
DataPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--data-path",
        metavar="FOLDER",
        show_default=False,
        help="Look for the data that the spec names here too, beside the spec's own folder.",
    ),
]
DataLimit = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES",
        min=1,
        show_default=f"{DEFAULT_LIMITS.data_bytes:,}",
        help="Training: read no more data than this.",
    ),
]
ExpectDigest = Annotated[
    str | None,
    typer.Option(
        metavar="DIGEST",
        show_default=False,
        help="Refuse a model file that has another digest than this.",
    ),
]
OutputFormat = Annotated[
    Format, typer.Option("--format", callback=_note_format, help="The form of results and diagnostics.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="What all random values follow from.")]
Device = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SELECTOR=]NAME",
        show_default=False,
        help="Where to run, instead of where the spec says: auto, cpu, cuda:0, ... for the whole model, or for a "
        "part, as in encoder=cuda:0. May be given several times.",
    ),
]
AllowLarge = Annotated[
    bool,
    typer.Option(
        "--allow-large",
        help="Build or load the model even if that takes much memory or work.",
    ),
]
