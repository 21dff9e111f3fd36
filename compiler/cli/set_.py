"""`set`: one value of a spec, in place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compiler.cli.console import err, status
from compiler.cli.fmt import read_spec
from compiler.cli.options import ImportPaths, OutputFormat, Plugins
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.text_files import show_diff, write_text
from compiler.pipeline import registry
from compiler.rewriting.edits import editable
from compiler.rewriting.set_value import NoSuchKeyError, with_value
from spec_schema.diagnostics import SpecError
from spec_schema.shown import shown

Spec = Annotated[Path, typer.Argument(metavar="SPEC", show_default=False, help="A spec (YAML or JSON).")]
Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        show_default=False,
        help="What leads to the value: `vars.width`, `model.layers.head`, `init.0`.",
    ),
]
Value = Annotated[
    str,
    typer.Argument(
        metavar="VALUE", show_default=False, help="The new value, as YAML: 128, [1, 2], Linear(10)."
    ),
]
Diff = Annotated[bool, typer.Option("--diff", help="Write nothing, and show what would change.")]


def set_(
    spec: Spec,
    key: Key,
    value: Value,
    diff: Diff = False,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    format: OutputFormat = Format.text,
) -> None:
    """Set a value of a spec in place, comments kept.

    The result is compiled first. Where it is refused, nothing is written.
    """
    text, name = read_spec(spec)
    before = editable(text, spec, name, registry(plugin or ()), import_path or ())
    try:
        with status(f"compiling {spec.name}"):
            after = with_value(before, key, value)
    except NoSuchKeyError as error:
        raise UsageProblem(str(error), error.help) from None
    except SpecError:
        if format is Format.text:
            err().print("nothing is written: with this value the spec is refused", soft_wrap=True)
        raise
    finish(spec, name, before.text, after.text, diff)


def finish(spec: Path, name: str, before: str, after: str, diff: bool) -> None:
    """Write a spec that was changed, or show what would change in it."""
    if diff:
        show_diff(before, after, name)
        return
    if after != before:
        write_text(spec, after)
    err().print(shown(f"wrote {spec}" if after != before else f"{spec} says so already"), soft_wrap=True)
