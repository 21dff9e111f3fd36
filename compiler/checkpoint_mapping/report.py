"""The load plan line by line: every tensor of a file, what becomes of it, and which tensor of the model it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compiler.checkpoint_mapping.plan import Load, LoadPlan, RuleLoads
from compiler.checkpoint_mapping.recipes import ways
from compiler.checkpoint_mapping.rewriting import Header
from compiler.rules.initialisation import computes_with_checkpoint
from compiler.rules.plan import PlanRow


@dataclass(frozen=True, eq=False)
class Line:
    """One tensor of a file on its way to one tensor of the model; `row` is None for one that is skipped."""

    source: Header
    steps: tuple[str, ...]
    target: str | None
    row: PlanRow | None


def lines(rule: RuleLoads) -> Iterator[Line]:
    """Yield the lines of one rule: what is loaded in the order of the model, then what is skipped."""
    for load in rule.loads.values():
        for name, recipe in load.recipes.items():
            for source, steps in ways(recipe):
                header = rule.headers[source]
                converted = () if header.dtype == load.row.dtype else (f"to {title(load.row.dtype)}",)
                yield Line(header, (*steps, *converted, *_computed(load)), rule.scope + name, load.row)
    for source, selector in rule.skipped.items():
        yield Line(rule.headers[source], (f"skipped by {selector}",), None, None)


def _computed(load: Load) -> tuple[str, ...]:
    """Return the last step of what is a part of an expression."""
    made = load.row.initialisation
    return ("in an expression",) if made is not None and computes_with_checkpoint(made.expression) else ()


def title(dtype: object) -> str:
    """Return a dtype as specs name it."""
    return str(dtype).removeprefix("torch.")


def as_json(plan: LoadPlan) -> list[dict[str, Any]]:
    """Return a load plan as plain values, a mapping for each rule."""
    return [
        {
            "path": rule.surgery.path,
            "block": rule.scope.removesuffix("."),
            "file": rule.surgery.place.file.name,
            "line": rule.surgery.place.line,
            "tensors": [_line_as_json(line) for line in lines(rule)],
        }
        for rule in plan.rules
    ]


def _line_as_json(line: Line) -> dict[str, Any]:
    return {
        "source": line.source.name,
        "source_shape": list(line.source.shape),
        "source_dtype": title(line.source.dtype),
        "steps": list(line.steps),
        "target": line.target,
        "target_names": list(line.row.names) if line.row else [],
        "target_shape": list(line.row.shape) if line.row else None,
        "target_dtype": title(line.row.dtype) if line.row else None,
    }
