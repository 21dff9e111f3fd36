"""A comparison as text: titles at the left, and beside each what there is to say, in the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich.cells import cell_len

from compiler.cli.diff.sections import Section
from spec_schema.shown import shown

LINES = 25
"""What a reviewer reads at a glance, a title and a blank line among them."""
GUTTER = 12
BETWEEN = "; "
MORE = "… "

SHORTER = ("weights", "programs")
"""Sections that say less first."""
CUT = ("renamed", "presets", "train")
"""Sections that lose lines first."""
LEAST = (3, 2, 1)
"""Lines that are left of a section that is cut: three if that is enough."""


def text_lines(title: str, sections: Sequence[Section], width: int, everything: bool) -> Iterator[str]:
    """Yield the lines of a report; without `everything` they are few."""
    yield shown(title)
    yield ""
    for section in sections if everything else fitted(sections, width):
        yield from _lines(section, width)


def fitted(sections: Sequence[Section], width: int) -> list[Section]:
    """Return sections that fit: some say the same in fewer words, then the longest lose lines."""
    found = list(sections)
    for title in SHORTER:
        if _surplus(found, width) > 0:
            found = [replace(s, lines=s.short) if s.title == title and s.short else s for s in found]
    for least in LEAST:
        while _surplus(found, width) > 0 and (at := _longest(found, width, least)) is not None:
            found[at] = _cut(found[at])
    return found


def _surplus(sections: Iterable[Section], width: int) -> int:
    return 2 + sum(_height(section, width) for section in sections) - LINES


def _height(section: Section, width: int) -> int:
    return sum(1 for _ in _lines(section, width))


def _longest(sections: Sequence[Section], width: int, least: int) -> int | None:
    """Return the place of the section that loses a line next, None if none has lines to lose."""
    heights = {at: _height(section, width) for at, section in enumerate(sections)}
    may = [at for at, section in enumerate(sections) if heights[at] > least and len(section.lines) > 1]
    first = [at for at in may if sections[at].title in CUT]
    return max(first or may, key=heights.__getitem__, default=None)


def _cut(section: Section) -> Section:
    """Return a section with one line less, and how many are left out."""
    *lines, last = section.lines
    gone = 1
    if last.startswith(MORE):
        *lines, _ = lines
        gone = int(last.split()[1]) + 1
    return replace(section, lines=(*lines, f"{MORE}{gone} more: `--all` shows them"))


def _lines(section: Section, width: int) -> Iterator[str]:
    title = section.title
    lines = _packed(section.lines, width - GUTTER) if section.packed else section.lines
    for at, line in enumerate(lines):
        is_whole = section.code and at  # what is pasted, or compared, is not broken
        for part in [shown(line)] if is_whole else _wrapped(shown(line), width - GUTTER):
            yield f"{title.ljust(GUTTER)}{part}".rstrip()
            title = ""


def _packed(lines: Sequence[str], width: int) -> Iterator[str]:
    """Yield lines with several of the given ones on each, as many as there is room for."""
    row = ""
    for line in lines:
        longer = f"{row}{BETWEEN}{line}" if row else line
        if row and cell_len(longer) > width:
            yield row
            longer = line
        row = longer
    yield from [row] if row else []


def _wrapped(line: str, width: int) -> Iterator[str]:
    """Yield the parts of a line, broken between words; what is one word stays whole."""
    indent = " " * (len(line) - len(line.lstrip()))
    part = ""
    for word in line.strip().split(" "):
        longer = f"{part} {word}" if part else f"{indent}{word}"
        if part.strip() and cell_len(longer) > width:
            yield part
            longer = f"{indent}  {word}"
        part = longer
    yield part
