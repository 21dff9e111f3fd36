"""Texts that a verb writes: to a file, all or nothing, or to standard output."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

from compiler.cli.answers.record import spoil
from compiler.cli.console import err, say, say_changes
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
        text = line.removesuffix("\n")
        say_changes(text if text.replace("\t", " ").isprintable() else escape(text))
        if text == line:
            say("\\ No newline at end of file")
