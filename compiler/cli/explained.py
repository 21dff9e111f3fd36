"""What `explain` says of a parameter, in words. Of parameters of which it says the same it is laid out once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compiler.cli.console import facts
from compiler.cli.plain import written
from spec_schema.shown import shown

if TYPE_CHECKING:
    from compiler.rules.plan import Decision, PlanRow
    from compiler.rules.provenance import Origin, Provenance, Size


class Reasons(NamedTuple):
    """All that decided how one parameter is."""

    decisions: tuple[Decision, ...]
    where: tuple[Origin, ...]
    """The lines that the names of its initialiser come from."""
    device: str
    dtype: Origin
    sizes: tuple[Size, ...]

    def origins(self) -> Iterator[tuple[str, Origin]]:
        """Yield the lines that give the names of its initialiser, its device, its dtype and its sizes their values."""
        from compiler.rules.provenance import Origin

        for origin in self.where:
            yield "where", origin
        decided = {decision.section for decision in self.decisions}
        if "placement" not in decided:
            yield "device", Origin(self.device, None)
        if "dtype" not in decided:
            yield "dtype", self.dtype
        for at, size in enumerate(self.sizes):
            for number, origin in enumerate(size.origins):
                text = origin.text if number else f"{size.value}: {origin.text}"
                yield f"size {at}", Origin(text, origin.place)


class Said(NamedTuple):
    """What is said of a parameter below its name."""

    kind: str
    qualities: str
    others: tuple[str, ...]
    """Its other names."""
    is_own: bool
    """Whether its value is the layer's own."""
    source: str | None
    """What it begins as."""
    reasons: Reasons


def reasons_of(row: PlanRow, origins: Provenance) -> Reasons:
    """Return what decided how a parameter is."""
    where = origins.names(row.initialisation) if row.initialisation else ()
    return Reasons(row.decisions, where, row.device, origins.dtype(row.source), origins.stored_sizes(row))


def said_of(row: PlanRow, origins: Provenance) -> Said:
    """Return what is said of a parameter."""
    return Said(
        row.kind,
        ", ".join(_qualities(row)),
        row.names[1:],
        row.initialisation is None and not row.decisions,
        row.copied.source if row.copied is not None else None,
        reasons_of(row, origins),
    )


class Explained:
    """Prints parameters, each with what decided it."""

    def __init__(self, console: Console, origins: Provenance) -> None:
        self.console, self.origins = console, origins
        self.known: dict[Said, tuple[Table, str | None]] = {}
        """A table, and how it is written where nobody looks at a terminal, None if it is not simple."""
        self.is_first = True

    def print(self, row: PlanRow, form: str) -> None:
        """Print one parameter, with a line between it and the one before."""
        said = said_of(row, self.origins)
        if said not in self.known:
            self.known[said] = self._laid_out(said)
        table, plain = self.known[said]
        title, before = f"{row.name}  {form}", "" if self.is_first else "\n"
        self.is_first = False
        if plain is not None and title.isprintable():
            self.console.file.write(f"{before}{written([title])}{plain}")
            return
        if before:
            self.console.print()
        self.console.print(Text.assemble((row.name, "bold"), f"  {form}"), soft_wrap=True)
        self.console.print(table)

    def _laid_out(self, said: Said) -> tuple[Table, str | None]:
        table = facts(_lines(said, self.console.width))
        lines = None if self.console.is_terminal else table.plain_lines(self.console)
        return table, None if lines is None else written(lines)


def _lines(said: Said, width: int) -> Iterator[tuple[str | Text, ...]]:
    yield f"  {said.kind}", said.qualities
    if said.others:
        yield "  is also", ", ".join(said.others)
    if said.is_own:
        yield "  value", "the layer's own"
    if said.source is not None:
        yield "  begins as", said.source
    yield from _beside(list(_reasons(said.reasons)), width)


def _reasons(found: Reasons) -> Iterator[tuple[str, Text, str]]:
    for each in found.decisions:
        yield each.section, Text(shown(each.text), "" if each.won else "dim"), _outcome(each)
    for title, origin in found.origins():
        yield title, Text(shown(origin.text)), origin.where()


def _beside(lines: Sequence[tuple[str, Text, str]], width: int) -> Iterator[tuple[str | Text, ...]]:
    """Yield lines with their places beside them, or beneath where there is too little room."""
    beside = max((len(where) for _, _, where in lines), default=0) <= width // 2
    before = ""
    for title, text, where in lines:
        heading = "" if title == before and title.startswith("size") else title
        before = title
        beneath = Text("\n").join([text, Text(where)])
        yield (f"  {heading}", text, where) if beside else (f"  {heading}", beneath)


def _outcome(decision: Decision) -> str:
    place = decision.where() if decision.place else "PyTorch's default"
    return place if decision.won else f"{place}, overruled"


def _qualities(row: PlanRow) -> Iterator[str]:
    if row.kind == "parameter":
        yield "trained" if row.trainable else "frozen"
    elif not row.persistent:
        yield "not saved"
    yield f"on {row.device}"
