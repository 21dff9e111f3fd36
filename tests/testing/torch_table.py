"""Makes docs/torch-layers.md: `PYTHONPATH=. python tests/testing/torch_table.py`."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from compiler.catalogue.layers import layer_names
from runtime.testing import PROPERTIES, Result, Subject, Verdict, check_layer
from runtime.testing.subject import UNDER, torch_subject

EXAMPLES = 10
DOCUMENT = Path(__file__).parents[2] / "docs/torch-layers.md"
HEAD = f"""# The layers of torch, tried

Every public layer of `torch.nn` that a spec can name, and how many of the {len(PROPERTIES)} properties of the
[kit](testing.md) hold for it: no example breaks one, of up to {EXAMPLES} in this table. A property may say nothing, as
`shared` of a layer without parameters. An exception is what a layer does not have by its nature, or because of torch;
some are for some arguments alone. `tests/testing/test_torch_layers.py` tries all of it again, also that each exception
is needed; the hints in `runtime/testing/torch_layers/` hold them.

The table is made by `PYTHONPATH=. python tests/testing/torch_table.py`; with names of layers it renews their rows
alone.

| layer | hold | say nothing | exceptions |
|---|---|---|---|
"""


def exceptions(hints: Mapping[str, str]) -> str:
    """Return what the hints except, with the reasons: those that are alike together."""
    return together((*key.partition(UNDER)[::2], reason) for key, reason in hints.items())


def together(found: Iterable[tuple[str, str, str]]) -> str:
    """Return properties, each with a condition and a reason, as a cell."""
    alike = defaultdict(list)
    for name, condition, reason in found:
        alike[condition, reason].append(f"`{name}`")
    parts = [
        f"{', '.join(names)}{f' if `{condition}`' if condition else ''}: {reason}"
        for (condition, reason), names in alike.items()
    ]
    return "<br>".join(parts).replace("|", "\\|") or "—"


def row(subject: Subject, verdicts: Iterable[Verdict]) -> list[str]:
    """Return the cells of a layer, the name aside."""
    found = {each.property.name: each for each in verdicts}
    broken = [name for name, each in found.items() if each.result == Result.fails]
    if broken:
        raise SystemExit(f"{subject.layer.name}: {', '.join(broken)}")
    holds = [name for name, each in found.items() if each.result == Result.holds]
    silent = [(name, "", each.reason or "") for name, each in found.items() if each.result == Result.silent]
    return [str(len(holds)), together(silent), exceptions(subject.hints.exceptions)]


def recorded() -> dict[str, list[str]]:
    """Return the rows of docs/torch-layers.md by the name of the layer."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {name.strip("`"): cells for name, *cells in rows}


def main(names: list[str]) -> None:
    """Write the table anew, or the rows of some layers."""
    torch.set_num_threads(1)  # tensors of a few elements take longer on several
    rows = recorded() if names else {}
    for name in names or sorted(layer_names()):
        print(name, file=sys.stderr)
        subject = torch_subject(name)
        rows[name] = row(subject, check_layer(subject, EXAMPLES))
    lines = [f"| `{name}` | {' | '.join(rows[name])} |\n" for name in sorted(rows)]
    DOCUMENT.write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
