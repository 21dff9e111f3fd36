"""Texts that a verb writes: to a file, all or nothing, or to standard output."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path

from compiler.cli.answers.record import spoil
from compiler.cli.console import err
from spec_schema.shown import escape, shown


def write_text(path: Path, text: str) -> None:
    """Write a file, all of it or nothing."""
    from runtime.files.atomic import write_whole

    spoil()
    write_whole(path, lambda stream: stream.write(text.encode()))


def write_output(output: Path, text: str) -> None:
    """Write a file that the caller named, and say so."""
    write_text(output, text)
    err().print(shown(f"wrote {output}"), soft_wrap=True)


def show_diff(before: str, after: str, name: str) -> None:
    """Print what changes in a file, for people and for `patch`."""
    lines = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    for line in unified_diff(*lines, shown(name), shown(name)):
        sys.stdout.write(
            line if line.rstrip("\n").replace("\t", " ").isprintable() else escape(line[:-1]) + "\n"
        )
        if not line.endswith("\n"):
            sys.stdout.write("\n\\ No newline at end of file\n")
