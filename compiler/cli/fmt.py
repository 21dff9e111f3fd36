"""`fmt`: specs in their canonical form."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compiler.catalogue.plugins import Registry
from compiler.cli.console import err, say, status
from compiler.cli.options import ImportPaths, OutputFormat, Plugins
from compiler.cli.outcome import Format, Status, UsageProblem, counted, is_bug, report
from compiler.cli.run import check_target
from compiler.cli.subject import Subject, check_file
from compiler.cli.text_files import show_diff, write_output, write_text
from compiler.pipeline import registry
from compiler.rewriting.edits import editable
from spec_schema.formatting.canonical_form import as_json, as_yaml, formatted, is_json
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_bytes

STDIN = Path("-")
SUFFIXES = (".yaml", ".yml")

Specs = Annotated[
    list[Path],
    typer.Argument(
        metavar="SPEC...",
        show_default=False,
        help="Specs; folders, for all YAML files in them; or `-` for standard input.",
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Write nothing, name what is not in this form, and exit with 1 if anything is."
    ),
]
Diff = Annotated[bool, typer.Option("--diff", help="Write nothing, and show what would change.")]


Form = StrEnum("Form", ["yaml", "json", "long"])
To = Annotated[
    Form | None,
    typer.Option(
        show_default=False,
        help="Print the spec as YAML or JSON, with its layers as calls, or with each as a mapping (long).",
    ),
]
Expand = Annotated[
    bool, typer.Option("--expand", help="Print the spec with inferred sizes and defaults written out.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Write it to a file instead."),
]


def fmt(
    specs: Specs,
    check: Check = False,
    diff: Diff = False,
    to: To = None,
    expand: Expand = False,
    output: Output = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    format: OutputFormat = Format.text,
) -> int:
    """Write specs in their canonical form.

    Comments stay, and no value changes: the formatted spec compiles to the same artifact. What is no spec is refused
    and not touched; of several files, the others are written. With `--to` and `--expand` a spec is printed in
    another form, after that was compiled.
    """
    if to is not None or expand:
        if check or diff or len(specs) != 1:
            help = "give one spec" if len(specs) != 1 else "leave `--check` and `--diff` out"
            raise UsageProblem("`--to` and `--expand` print one spec", help)
        _convert(specs[0], to, expand, output, registry(plugin or ()), import_path or [])
        return Status.FINE
    if output is not None:
        raise UsageProblem(
            "`--output` is for `--to` and `--expand`", "without them, specs are written in place"
        )
    statuses: list[int] = []
    changed = 0
    for path in files_of(specs):
        try:
            if path.is_dir():
                raise UsageProblem(f"there is no spec in `{path}`", "name a file, or a folder of YAML files")
            found = _format(path, check, diff)
        except Exception as error:
            if is_bug(error):
                raise
            statuses.append(report(error))
            continue
        changed += found
        statuses.append(Status.FINE)
    if STDIN not in specs and format is Format.text:
        err().print(_verdict(statuses, changed, check or diff), soft_wrap=True)
    return max([*statuses, Status.REFUSED if changed and check else Status.FINE])


def files_of(specs: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that are named, and those in folders; a folder itself where it has none."""
    for path in specs:
        if path.is_dir():
            inside = (each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            yield from sorted(inside) or [path]
        else:
            yield path


def read_spec(path: Path) -> tuple[str, str]:
    """Return the text of a file, or of standard input, and its name.

    Raises:
        UsageProblem: there is no such file, or it is a saved model.
        SpecError: it is no text.
    """
    if path == STDIN:
        data = sys.stdin.buffer.read(DEFAULT_LIMITS.file_bytes + 1)
        name = "stdin.json" if data.lstrip()[:1] == b"{" else "stdin"
    else:
        check_file(path)
        if Subject(path).is_model:
            raise UsageProblem(
                f"`{path}` is a saved model, and no text", "name the spec that it was made from"
            )
        with path.open("rb") as file:
            data = file.read(DEFAULT_LIMITS.file_bytes + 1)
        name = str(path)
    read_bytes(data, name, DEFAULT_LIMITS)
    return data.decode(), name


def _format(path: Path, check: bool, diff: bool) -> bool:
    """Format one spec, and return whether it is written otherwise than it was."""
    text, name = read_spec(path)
    found = formatted(text, name)
    if diff:
        show_diff(text, found, name)
    elif check and found != text:
        say(name)
    elif path == STDIN:
        sys.stdout.write(found)
    elif found != text:
        write_text(path, found)
    return found != text


def _convert(
    path: Path,
    to: Form | None,
    expand: bool,
    output: Path | None,
    plugins: Registry,
    import_paths: list[Path],
) -> None:
    """Print a spec in another form, or write it to a file."""
    from compiler.rewriting.forms import converted

    if path == STDIN:
        raise UsageProblem("`--to` and `--expand` compile the spec, which is a file", "name the file")
    check_target(output, path)
    text, name = read_spec(path)
    wants_json = is_json(str(output or path)) if to in (None, Form.long) else to is Form.json
    if output is not None and is_json(str(output)) is not wants_json:
        raise UsageProblem(f"`{output}` is not the name of a file of {'JSON' if wants_json else 'YAML'}")
    spec = editable(text, path, name, plugins, import_paths)
    with status(f"compiling {path.name}"):
        found = converted(spec, is_long=None if to is None else to is Form.long, expand=expand)
    written = as_json(found, name) if wants_json else as_yaml(found, name)
    if output is None:
        sys.stdout.write(written)
        return
    write_output(output, written)


def _verdict(statuses: Sequence[int], changed: int, only_looked: bool) -> str:
    """Return the last line: how many specs there were, and what came of them."""
    parts = [f"{len(statuses)} spec{'' if len(statuses) == 1 else 's'}"]
    if changed or not any(statuses):
        parts.append(f"{changed} {'would be formatted' if only_looked else 'formatted'}")
    return ", ".join([*parts, *counted(statuses)])
