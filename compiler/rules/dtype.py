"""What placement says of the dtype of each tensor."""

from __future__ import annotations

from compiler.infer.dtypes import named_dtype
from compiler.infer.states import BlockState
from compiler.rule_records import PlacementRule
from compiler.rules.items import bind
from compiler.rules.lookup import Lookup
from compiler.rules.plan import Decision
from compiler.rules.table import Table, TensorRow
from spec_schema.diagnostics import Diagnostic, Label

DtypeRules = Lookup[PlacementRule]


def dtype_rules(root: BlockState, table: Table) -> DtypeRules:
    """Return the rules of a model that give dtypes.

    Raises:
        SpecError: there is no item that a selector names by an index.
    """
    return Lookup((bind(rule.selector, table.values, table), rule) for rule in root.dtypes.rules)


def dtype_decisions(row: TensorRow, rules: DtypeRules) -> list[Decision]:
    """Return the rules for the dtype of a tensor, the last of which won; none where the dtype is its own."""
    naming = list(rules.matching(row.steps)) if own_dtype(row) is None else []
    return [
        Decision("dtype", f"{rule.selector.text}: {rule.dtype}", rule.dtype_span, rule is naming[-1])
        for rule in naming
    ]


def own_dtype(row: TensorRow) -> str | None:
    """Return why no rule gives a tensor its dtype, None where rules do."""
    kind = str(row.tensor.dtype).removeprefix("torch.")
    if row.entry is not None and row.entry.type is None:
        return f"has the dtype of its formula, {kind}"
    if row.entry is not None:
        return f"is declared {kind}" if row.entry.type and row.entry.type.dtype != "float" else None
    if not row.tensor.dtype.is_floating_point:
        return f"is made {kind} by its layer"
    return None if row.persistent else f"is computed by its layer, as {kind}"


def dtype_problems(table: Table, rules: DtypeRules) -> list[Diagnostic]:
    """Return the rules for a dtype that name nothing but tensors with other dtypes of their own."""
    named: dict[PlacementRule, list[TensorRow]] = {rule: [] for rule in rules.rules}
    for row in table.tensors if named else ():
        for rule in rules.matching(row.steps):
            named[rule].append(row)
    problems = []
    for rule, rows in named.items():
        reasons = [own_dtype(row) for row in rows if row.tensor.dtype != named_dtype(rule)]
        if rows and len(reasons) == len(rows) and None not in reasons and not rule.selector.start.is_end:
            problems.append(_decides_nothing(rule, rows[0], str(reasons[0])))
    return problems


def _decides_nothing(rule: PlacementRule, row: TensorRow, reason: str) -> Diagnostic:
    computed = row.entry is not None and row.entry.type is None
    written = f"(...).to({rule.dtype})" if computed else "float[...]"
    return Diagnostic(
        "fixed-dtype",
        f"`{row.name}` {reason}",
        rule.dtype_span,
        labels=(Label(row.span, "declared here" if row.entry is not None else "the layer"),),
        help=f"write `{written}` where it is declared" if row.entry is not None else "leave this rule out",
    )
