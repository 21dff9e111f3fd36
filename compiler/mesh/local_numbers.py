"""The numbers of one rank: those that no rank needs, and how one is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.infer.states import BlockState
from compiler.mesh.plan import LayerSplit
from compiler.rules.table import ModuleRow
from spec_schema.diagnostics import Diagnostic
from spec_schema.source import Span


def local_problems(
    layers: Mapping[str, LayerSplit], local: Mapping[str, Mapping[str, int]], places: Mapping[str, Span]
) -> Iterator[Diagnostic]:
    """Yield numbers of one rank in a block, or in a part of one, in which no rank has a part of anything."""
    inside = {path.rpartition(".")[0] for path, split in layers.items() if split.takes_part}
    for path in local:
        around = [path[: len(path) - len(rest)].rstrip(".") for rest in _endings(path)]
        if not inside & {*around}:
            yield Diagnostic(
                "local-number",
                f"`{path or 'the model'}` computes with what is whole: no layer in it gives parts to a `rowwise` one",
                places[path],
                help="split its layers too, or take the number out",
            )
            return


def _endings(path: str) -> Iterator[str]:
    """Yield what is behind each module around a path, itself included."""
    parts = path.split(".") if path else []
    for at in range(len(parts) + 1):
        yield ".".join(parts[at:])


def local_form(row: ModuleRow, count: int, axis: str) -> str:
    """Return how the number of one rank is written, for what a block has so many of."""
    values = row.state.values if isinstance(row.state, BlockState) else {}
    name = next((name for name, value in values.items() if value == count), "NAME")
    kind = f"{row.steps[-1].kind}." if row.steps else ""
    return f"{kind}{name}: {name} // {axis}"
