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

Every public layer of `torch.nn` that a spec can name, and what `test-layer` finds of it. A property holds where no
example breaks it, of up to {EXAMPLES}; `tests/testing/test_torch_layers.py` tries them all again. It says nothing where
there is nothing to try, as `shared` of a layer without parameters. An exception says what a layer does not have by its
nature, or because of torch; some are for some arguments alone. The hints in `runtime/testing/torch_layers/` hold them.

Properties: {", ".join(f"`{name}` ({each.promise})" for name, each in PROPERTIES.items())}.

The table is made by `PYTHONPATH=. python tests/testing/torch_table.py`.

| layer | holds | says nothing | exceptions |
|---|---|---|---|
"""


def names(found: Iterable[str]) -> str:
    """Return names of properties as a cell; the rest where that is shorter."""
    given = list(found)
    rest = [name for name in PROPERTIES if name not in given]
    if len(rest) < len(given):
        return "all" if not rest else f"all but {', '.join(f'`{name}`' for name in rest)}"
    return ", ".join(f"`{name}`" for name in given) or "—"


def exceptions(hints: Mapping[str, str]) -> str:
    """Return what the hints except, with the reasons: those that are alike together."""
    together = defaultdict(list)
    for key, reason in hints.items():
        name, _, condition = key.partition(UNDER)
        together[condition, reason].append(f"`{name}`")
    parts = [
        f"{', '.join(found)}{f' if `{condition}`' if condition else ''}: {reason}"
        for (condition, reason), found in together.items()
    ]
    return "<br>".join(parts).replace("|", "\\|") or "—"


def row(subject: Subject, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the cells of a layer."""
    found = {result: [n for n, each in verdicts.items() if each.result == result] for result in Result}
    if found[Result.fails]:
        raise SystemExit(f"{subject.layer.name}: {', '.join(found[Result.fails])}")
    return [
        f"`{subject.layer.name}`",
        names(found[Result.holds]),
        names(found[Result.silent]),
        exceptions(subject.hints.exceptions),
    ]


def recorded() -> dict[str, list[str]]:
    """Return the cells of docs/torch-layers.md after the first one, by the name of the layer."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {name.strip("`"): cells for name, *cells in rows}


def main() -> None:
    torch.set_num_threads(1)  # tensors of a few elements take longer on several
    text = HEAD
    for name in sorted(layer_names()):
        print(name, file=sys.stderr)
        subject = torch_subject(name)
        verdicts = {each.property.name: each for each in check_layer(subject, EXAMPLES)}
        text += f"| {' | '.join(row(subject, verdicts))} |\n"
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
