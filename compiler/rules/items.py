"""Indices in selectors: computed with the values of a block, and checked against the rows of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.indices import Chosen
from spec_schema.selectors import Selector, Step

if TYPE_CHECKING:
    from compiler.rules.table import ModuleRow, RuleScope, Table

Steps = tuple[Step, ...]


def bind(selector: Selector, values: Mapping[str, object], table: Table, at: Steps = ()) -> Selector:
    """Return a selector of the block at some path with its indices computed.

    Raises:
        SpecError: an index cannot be computed, or there is no such item.
    """
    if not selector.indices:
        return selector
    bound = selector.bound(values)
    problems = [problem for part, around in _indexed(bound, table, at) for problem in _problems(part, around)]
    if problems:
        raise SpecError(problems)
    return bound


def bind_all(scopes: Sequence[RuleScope], table: Table, used: set[object]) -> None:
    """Compute the indices of all rules in each instance of a block. Those that take nothing on purpose are `used`.

    Raises:
        SpecError: with all indices that cannot be computed, or where there is no such item.
    """
    problems: list[Diagnostic] = []
    for scope in scopes:
        for rule in scope.rules.indexed():
            try:
                bound = bind(rule.selector, scope.state.values, table, scope.steps)
            except SpecError as error:
                problems.extend(error.diagnostics)
                continue
            scope.bound[rule.selector] = bound
            if takes_nothing(bound, table, scope.steps, rule.conditional):
                used.add(rule)
    if problems:
        raise SpecError(problems)


def takes_nothing(bound: Selector, table: Table, at: Steps, conditional: bool) -> bool:
    """Return whether a slice of a selector is empty on purpose: by variables, or under a condition.

    The components around the slice must name something all the same.
    """
    for part, around in _indexed(bound, table, at):
        counts = [row.items for row in around if row.items is not None]
        on_purpose = part.number is None and (part.varies or conditional)
        if on_purpose and counts and not any(map(part.items, counts)):
            return not any(counts) or _names_some(bound.wide(), table, at)
    return False


def _names_some(bound: Selector, table: Table, at: Steps) -> bool:
    """Return whether a selector of the block at some path names anything."""
    inside = (*table.modules_below(at), *table.below(at))
    return any(bound.matches(row.steps[len(at) :]) for row in inside)


def _indexed(bound: Selector, table: Table, at: Steps) -> Iterator[tuple[Chosen, list[ModuleRow]]]:
    """Yield each index, with the modules that the components in front of it name."""
    inside, _ = table.inside[at]
    for number, part in enumerate(bound.components):
        if isinstance(part, Chosen):
            check_time(part.place)
            head, rows = bound.head(number), table.modules[inside.start : inside.stop]
            yield part, [row for row in rows if head.names(row.steps[len(at) :])]


def _problems(part: Chosen, around: list[ModuleRow]) -> Iterator[Diagnostic]:
    rows = [row for row in around if row.items is not None]
    if around and not rows:
        yield _no_row(part, around[0])
    for row in rows:
        assert row.items is not None
        if part.number is not None and not part.items(row.items):
            yield _no_item(part, part.number, row.name or "the model", row.items)
            return


def _no_item(part: Chosen, number: int, name: str, count: int) -> Diagnostic:
    there = f"`{name}` has {count:,} item{'' if count == 1 else 's'}"
    end = "" if number == -1 else str(number + 1)
    return Diagnostic(
        "no-such-item",
        f"{there}, and no `[{part.text}]`",
        part.place,
        notes=(f"`[{part.text}]` is item {number} here",) if part.varies else (),
        help=f"a slice takes what there is, as in Python: `[{number}:{end}]`",
    )


def _no_row(part: Chosen, row: ModuleRow) -> Diagnostic:
    return Diagnostic(
        "no-such-item",
        f"`{row.name}` is no row of layers, and has no `[{part.text}]`",
        part.place,
        help="leave the index out, or name the part that is meant",
    )
