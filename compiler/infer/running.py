"""Values that go from copy to copy of a repeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from compiler.infer.arguments import evaluate_value
from compiler.infer.values import holds_recipe, show
from compiler.program import Repeat, Running, ValueTree
from compiler.resolve.values import place_of
from spec_schema.diagnostics import refuse
from spec_schema.limits import Limits

Values = Mapping[str, object]


def run_on(
    node: Repeat, rows: Iterable[Values], values: Values, limits: Limits
) -> tuple[list[dict[str, object]], Values]:
    """Return what is bound in each copy with the running values, and these behind the last copy."""
    now = {each.name: _value(each, each.first, values, node, limits) for each in node.running}
    found: list[dict[str, object]] = []
    for row in rows:
        found.append({**row, **now})
        seen = {**values, **found[-1]}
        now = {each.name: _value(each, each.after, seen, node, limits) for each in node.running}
    return found, now


def _value(running: Running, tree: ValueTree, values: Values, node: Repeat, limits: Limits) -> object:
    value = evaluate_value(tree, values, node.scope, limits)
    if holds_recipe(value):
        message = (
            f"the running value `{running.name}` is computed with, and this is the layer `{show(value)}`"
        )
        raise refuse("bad-repeat", message, place_of(tree) or node.span)
    return value
