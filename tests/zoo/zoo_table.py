"""Makes docs/zoo.md: `PYTHONPATH=. python tests/zoo/zoo_table.py`."""

from __future__ import annotations

import inspect
import sys

import torch
from torch import nn

from tests.zoo.parity import ROOT, Entry, built, differences, draw, load_both_ways
from tests.zoo.vision_entries import ENTRIES

HEAD = """# The zoo

Architectures in `specs/zoo/`, each equal to the implementation that people use: `tests/zoo/` loads one state dict into
both, and compares outputs and gradients. Lines are those that are neither blank nor comment: of the spec, and of the
classes of the reference with their docstrings. The difference is the largest one in float64 of outputs and gradients,
in evaluation, with random weights at small sizes; 0 means that all bits agree.

This table of the entries against torchvision is made by `PYTHONPATH=. python tests/zoo/zoo_table.py`.

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
    reference = draw(entry.small()).double().eval()
    model = built(entry.artifact()).double().eval()
    load_both_ways(model, reference)
    found = differences(model, reference, entry, torch.float64)
    spec = written((ROOT / f"specs/zoo/{entry.spec}.yaml").read_text())
    counts = []
    for preset in entry.full:
        parameters = sum(each.elements for each in entry.artifact(preset or None).plan.parameters)
        counts.append((preset or "—", f"{parameters:,}"))
    names, sizes = ("<br>".join(column) for column in zip(*counts, strict=True))
    largest = max(found.outputs, found.gradients)
    return f"| {entry.spec} | {names} | {sizes} | {spec} | {lines_of(reference)} | {largest:.1g} |\n"


def lines_of(reference: nn.Module) -> int:
    from references import visible

    with visible():
        return reference_lines(reference)


if __name__ == "__main__":
    table = "".join(row(entry) for entry in ENTRIES)
    (ROOT / "docs/zoo.md").write_text(HEAD + table)
    sys.stdout.write(table)
