"""A comparison in Markdown, for the description of a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compiler.cli.diff.sections import Section
from spec_schema.shown import shown

NUMBERS = ("parameters", "trained", "memory", "FLOPs")
_SPECIAL = re.compile(r"([\\`*<\[|~&]|(?<!\w)_|_(?!\w)|^[#+-])")


def markdown_lines(title: str, sections: Sequence[Section]) -> Iterator[str]:
    """Yield the lines of a report in Markdown: a heading, a table of numbers, and a list or code for the rest."""
    yield f"### {_escaped(title)}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for section in sections:
        if section.title in NUMBERS:
            numbers = " ".join(section.lines[0].split())
            yield f"| {section.title} | {_escaped(numbers)} |"
    for section in sections:
        if section.title not in NUMBERS:
            yield ""
            yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    head, *rest = section.lines
    if section.code == "yaml":
        yield f"**{section.title}**: {_escaped(head)}"
        yield from _fenced(rest, section.code) if rest else ()
    elif section.code:
        yield f"**{section.title}**"
        yield from _fenced(section.lines, section.code)
    elif section.packed or not rest:
        yield f"**{section.title}**: {'; '.join(map(_escaped, section.lines))}"
    else:
        yield f"**{section.title}**"
        yield ""
        yield from (f"* {_escaped(line)}" for line in section.lines)


def _fenced(lines: Sequence[str], language: str) -> Iterator[str]:
    """Yield lines as a block of code, with a fence that is in none of them."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield ""
    yield f"{fence}{language}"
    yield from map(shown, lines)
    yield fence


def _escaped(text: str) -> str:
    """Return a text of which nothing means anything to Markdown."""
    return _SPECIAL.sub(r"\\\1", re.sub(" {2,}", ": ", shown(text).strip(), count=1))
