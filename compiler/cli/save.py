"""`save`: write a saved model in the names of the checkpoint that it was loaded from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from compiler.cli.console import out, status
from compiler.cli.options import AllowLarge, OutputFormat, Plugins
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.selection import read_selector
from compiler.cli.subject import Subject, check_file, nearest
from spec_schema.shown import shown

Model = Annotated[
    Path, typer.Argument(metavar="MODEL", show_default=False, help="A model file that `run` saved.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        show_default=False,
        help="A new folder, or a file where CHECKPOINT is one.",
    ),
]
Like = Annotated[
    Path,
    typer.Option(
        metavar="CHECKPOINT",
        show_default=False,
        help="The checkpoint that a rule of the model's spec reads: its names, files and dtypes are kept.",
    ),
]
Leave = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SELECTOR",
        show_default=False,
        help="Leave out these tensors of the model, which the checkpoint has no place for.",
    ),
]


def save(
    model: Model,
    output: Output,
    like: Like,
    leave: Leave = None,
    plugin: Plugins = None,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Write a model in the names of the checkpoint that it was loaded from.

    The `checkpoint` rule of its spec is undone. What the rule skips comes from the original, and so do the
    configuration and all else that stands beside the weights.
    """
    check_file(model)
    if not Subject(model).is_model:
        raise UsageProblem(f"`{model}` is no saved model", "`run SPEC --save FILE` makes one")
    if not like.exists():
        near = nearest(like)
        raise UsageProblem(f"there is no checkpoint `{like}`", f"did you mean `{near}`?" if near else None)
    for selector in leave or ():
        read_selector(selector)
    from runtime.checkpoint_mapping.saving import save_like
    from runtime.store import load

    with status(f"writing {output}"):
        loaded = load(model, "cpu", plugin or (), allow_large=allow_large)
        written = save_like(loaded, output, like, leave or ())
    if format is Format.json:
        facts = {"tensors": written.tensors, "kept": written.kept, "files": list(written.files)}
        print(json.dumps(facts, indent=2))
        return
    kept = f", {written.kept:,} as they are in {like}" if written.kept else ""
    out().print(shown(f"wrote {output}: {written.tensors:,} tensors of {model}{kept}"), soft_wrap=True)
