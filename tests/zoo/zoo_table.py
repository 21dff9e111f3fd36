"""Makes docs/zoo.md: `PYTHONPATH=. python tests/zoo/zoo_table.py`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable

from torch import nn

from tests.zoo import transformers_entries, vision_entries
from tests.zoo.parity import ROOT, Entry, differences_in_double
from tests.zoo.references import visible

HEAD = """# The zoo

Architectures in `specs/zoo/`, each equal to the implementation that people use: `tests/zoo/` loads one state dict into
both, and compares outputs and gradients. Lines are those that are neither blank nor comment: of the spec, and of the
classes of the reference with their docstrings. The difference is the largest one in float64 of outputs and gradients,
in evaluation, with random weights at small sizes; 0 means that all bits agree.

The tables are made by `PYTHONPATH=. python tests/zoo/zoo_table.py`.
"""
COLUMNS = """
| spec | preset | parameters | lines of the spec | lines of the reference | largest difference |
|---|---|---|---|---|---|
"""


def written(text: str) -> int:
    lines = [line.strip() for line in text.splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def reference_lines(model: nn.Module) -> int:
    """Count the lines of the classes that are not torch's own."""
    classes = {type(module) for module in model.modules()}
    own = [each for each in classes if not each.__module__.startswith("torch.")]
    return sum(written(inspect.getsource(each)) for each in own)


def row(entry: Entry) -> str:
    reference, found = differences_in_double(entry)
    spec = written((ROOT / f"specs/zoo/{entry.spec}.yaml").read_text())
    counts = []
    for preset in entry.full:
        parameters = sum(each.elements for each in entry.artifact(preset or None).plan.parameters)
        counts.append((preset or "—", f"{parameters:,}"))
    names, sizes = ("<br>".join(column) for column in zip(*counts, strict=True))
    with visible():
        lines = reference_lines(reference)
    largest = max(found.outputs, found.gradients)
    return f"| {entry.spec} | {names} | {sizes} | {spec} | {lines} | {largest:.1g} |\n"


def table(name: str, entries: Iterable[Entry]) -> str:
    return f"\n## Against {name}\n{COLUMNS}{''.join(row(entry) for entry in entries if entry.full)}"


if __name__ == "__main__":
    tables = table("torchvision", vision_entries.ENTRIES) + table(
        "transformers", transformers_entries.ENTRIES
    )
    (ROOT / "docs/zoo.md").write_text(HEAD + tables)
    sys.stdout.write(tables)
