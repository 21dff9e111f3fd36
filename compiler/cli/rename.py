"""`rename`: a block, variable, argument or layer of a spec, through all its uses."""

from __future__ import annotations

from typing import Annotated

import typer

from compiler.cli.console import status
from compiler.cli.fmt import read_spec
from compiler.cli.options import ImportPaths, OutputFormat, Plugins
from compiler.cli.outcome import FileProblem, Format
from compiler.cli.set_ import Diff, Spec, finish
from compiler.pipeline import registry
from compiler.rewriting.edits import editable

Old = Annotated[
    str,
    typer.Argument(
        metavar="OLD",
        show_default=False,
        help="A variable, a block or a layer of the model; in a block `BLOCK.NAME`.",
    ),
]
New = Annotated[str, typer.Argument(metavar="NEW", show_default=False, help="The new name, alone.")]


def rename(
    spec: Spec,
    old: Old,
    new: New,
    diff: Diff = False,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    format: OutputFormat = Format.text,
) -> None:
    """Rename a block, variable, argument or layer of a spec, through all its uses.

    The result is compiled and compared: the same tensors, but for the keys of a renamed layer. Where that fails,
    nothing is written.
    """
    from compiler.rewriting.rename import RenameError, renamed

    text, name = read_spec(spec)
    before = editable(text, spec, name, registry(plugin or ()), import_path or ())
    try:
        with status(f"compiling {spec.name}"):
            after = renamed(before, old, new)
    except RenameError as error:
        raise FileProblem(str(error), [error.help] if error.help else []) from None
    finish(spec, name, before.text, after.text, diff)
