"""A comparison as plain values, with nothing folded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compiler.cli.diff.totals import Totals
from compiler.diff.comparison import Comparison
from compiler.diff.structure import Change, Value
from compiler.rules.plan import PlanRow


def as_json(found: Comparison, before: Totals, after: Totals) -> dict[str, Any]:
    """Return a comparison as plain values."""
    return {
        "same": found.is_same,
        "before": {"name": found.before.name, **asdict(before)},
        "after": {"name": found.after.name, **asdict(after)},
        "values": [asdict(change) for change in found.values],
        "blocks": [{"before": one, "after": other} for one, other in found.blocks],
        "layers": [_change(change) for change in found.changes],
        "programs": [asdict(change) for change in found.programs],
        "rules": [asdict(change) for change in found.rules],
        "effects": [asdict(effect) for effect in found.effects],
        "tensors": {
            "removed": [_tensor(row) for row in found.tensors.removed],
            "added": [_tensor(row) for row in found.tensors.added],
            "renamed": [
                {"before": one.name, "after": other.name}
                for one, other in found.tensors.pairs.items()
                if one.name != other.name
            ],
            "reshaped": [
                {"before": _tensor(one), "after": _tensor(other)} for one, other in found.tensors.reshaped
            ],
        },
        "code_differs": found.code_differs,
        "weights": {
            "as_they_are": found.weights.as_it_is,
            "loaded": list(found.weights.loaded),
            "left": list(found.weights.left),
            "skipped": list(found.weights.skipped),
            "proven": found.weights.proven,
            "rule": [dict(item) for item in found.weights.rule] if found.weights.proven else [],
        },
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "before": None if change.before is None else change.before.path,
        "after": None if change.after is None else change.after.path,
        "types": list(change.types()),
        "parameters": change.module.parameters,
        "arguments": _values(change.arguments),
        "shapes": _values(change.shapes),
        "tensors": dict(change.tensors),
    }


def _values(values: tuple[Value, ...]) -> dict[str, Any]:
    return {name: {"before": before, "after": after} for name, before, after in values}


def _tensor(row: PlanRow) -> dict[str, Any]:
    return {"name": row.name, "shape": list(row.shape), "dtype": str(row.dtype).removeprefix("torch.")}
