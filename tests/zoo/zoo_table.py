"""Makes docs/zoo.md: `PYTHONPATH=. python tests/zoo/zoo_table.py`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence

from torch import nn

from tests.zoo import classic_entries, detr_entries, transformers_entries, vision_entries
from tests.zoo.parity import ROOT, Entry, differences_in_double
from tests.zoo.references import visible

HEAD = """# The zoo

Architectures in `specs/zoo/`, each equal to the implementation that people use, or to one that they would write by
hand: `tests/zoo/` loads one state dict into both, and compares outputs and gradients. Lines are those that are
neither blank nor comment: of the spec, without the blocks that it imports, and of the classes of the reference with
their docstrings. The difference is the largest one in float64 of outputs and gradients, in evaluation, with random
weights at small sizes; 0 means that all bits agree.

The tables are made by `PYTHONPATH=. python tests/zoo/zoo_table.py`.
"""
TABLES: dict[str, Sequence[Entry]] = {
    "torchvision": vision_entries.ENTRIES,
    "transformers": [*transformers_entries.ENTRIES, *detr_entries.ENTRIES],
    "modules written by hand, in `tests/zoo/classic.py` and `recent.py`": classic_entries.ENTRIES,
}
DOCUMENT = ROOT / "docs/zoo.md"
COLUMNS = """
| spec | preset | parameters | lines of the spec | lines of the reference | largest difference |
|---|---|---|---|---|---|
"""


def written(text: str) -> int:
    model = text.partition("\nmesh:")[
        0
    ]  # how it lies on ranks comes last, and is no part of the architecture
    lines = [line.strip() for line in model.splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def reference_lines(model: nn.Module) -> int:
    """Count the lines of the classes that are not torch's own."""
    classes = {type(module) for module in model.modules()}
    own = [each for each in classes if not each.__module__.startswith("torch.")]
    return sum(written(inspect.getsource(each)) for each in own)


def described(entry: Entry, reference: nn.Module) -> list[str]:
    """Return the row of an entry, but for the difference, which takes a measurement."""
    counts = [entry.artifact(preset or None).plan.parameters for preset in entry.full]
    sizes = [f"{sum(each.elements for each in parameters):,}" for parameters in counts]
    return [*named(entry), "<br>".join(sizes), *lines(entry, reference)]


def named(entry: Entry) -> list[str]:
    return [entry.spec, "<br>".join(preset or "—" for preset in entry.full)]


def lines(entry: Entry, reference: nn.Module) -> list[str]:
    spec = written((ROOT / f"specs/zoo/{entry.spec}.yaml").read_text())
    with visible():
        return [str(spec), str(reference_lines(reference))]


def row(entry: Entry) -> str:
    reference, found = differences_in_double(entry)
    largest = max(found.outputs, found.gradients)
    return f"| {' | '.join(described(entry, reference))} | {largest:.1g} |\n"


def table(name: str, entries: Iterable[Entry]) -> str:
    return f"\n## Against {name}\n{COLUMNS}{''.join(row(entry) for entry in entries if entry.full)}"


def recorded() -> dict[str, list[list[str]]]:
    """Return the rows of docs/zoo.md, by the name of their table."""
    tables: dict[str, list[list[str]]] = {}
    for part in DOCUMENT.read_text().split("\n## Against ")[1:]:
        name, *written_rows = [line for line in part.splitlines() if line]
        tables[name] = [text.strip("| ").split(" | ") for text in written_rows[2:]]
    return tables


def recorded_parameters(entry: Entry) -> dict[str, int]:
    """Return how many parameters docs/zoo.md says that an entry has, by its preset."""
    rows = [cells for table in recorded().values() for cells in table if cells[:2] == named(entry)]
    [cells] = rows
    counts = [int(text.replace(",", "")) for text in cells[2].split("<br>")]
    return dict(zip(entry.full, counts, strict=True))


if __name__ == "__main__":
    tables = "".join(table(name, entries) for name, entries in TABLES.items())
    DOCUMENT.write_text(HEAD + tables)
    sys.stdout.write(tables)
