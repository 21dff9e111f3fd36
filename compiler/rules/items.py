"""Indices in selectors: computed with the values of a block, and checked against the rows of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from compiler.rules.lookup import Lookup
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.indices import Chosen
from spec_schema.selectors import Pattern, Selector, Step

if TYPE_CHECKING:
    from compiler.rule_records import Selecting
    from compiler.rules.table import ModuleRow, RuleScope, Table

    Around = Mapping[Pattern, list[ModuleRow]]
    """The modules that the components in front of an index name."""

Steps = tuple[Step, ...]


def bind(selector: Selector, values: Mapping[str, object], table: Table, at: Steps = ()) -> Selector:
    """Return a selector of the block at some path with its indices computed.

    Raises:
        SpecError: an index cannot be computed, or there is no such item.
    """
    if not selector.indices:
        return selector
    bound = selector.bound(values)
    _check(bound, _around([bound], table, at))
    return bound


def bind_all(scopes: Sequence[RuleScope], table: Table, used: set[object]) -> None:
    """Compute the indices of all rules in each instance of a block. Those that take nothing on purpose are `used`.

    Raises:
        SpecError: with all indices that cannot be computed, or where there is no such item.
    """
    problems: list[Diagnostic] = []
    for scope in scopes:
        bound, refused = _bound(scope)
        around = _around(bound.values(), table, scope.steps)
        for rule in scope.rules.indexed():
            try:
                if rule in refused:
                    raise refused[rule]
                _check(bound[rule], around)
            except SpecError as error:
                problems.extend(error.diagnostics)
                continue
            scope.bound[rule.selector] = bound[rule]
            if _takes_nothing(bound[rule], around, table, scope.steps, rule.conditional):
                used.add(rule)
    if problems:
        raise SpecError(problems)


def _bound(scope: RuleScope) -> tuple[dict[Selecting, Selector], dict[Selecting, SpecError]]:
    """Return the selectors of rules with their indices computed, and why that cannot be done."""
    bound: dict[Selecting, Selector] = {}
    refused: dict[Selecting, SpecError] = {}
    for rule in scope.rules.indexed():
        try:
            bound[rule] = rule.selector.bound(scope.state.values)
        except SpecError as error:
            refused[rule] = error
    return bound, refused


def _check(bound: Selector, around: Around) -> None:
    """Refuse the indices of a selector that no row of layers has.

    Raises:
        SpecError: there is no such item.
    """
    problems = [problem for part, rows in _indexed(bound, around) for problem in _problems(part, rows)]
    if problems:
        raise SpecError(problems)


def takes_nothing(bound: Selector, table: Table, at: Steps, conditional: bool) -> bool:
    """Return whether a slice of a selector is empty on purpose: by variables, or under a condition.

    The components around the slice must name something all the same.
    """
    return _takes_nothing(bound, _around([bound], table, at), table, at, conditional)


def _takes_nothing(bound: Selector, around: Around, table: Table, at: Steps, conditional: bool) -> bool:
    for part, rows in _indexed(bound, around):
        counts = [row.items for row in rows if row.items is not None]
        on_purpose = part.number is None and (part.varies or conditional)
        if on_purpose and counts and not any(map(part.items, counts)):
            return not any(counts) or _names_some(bound.wide(), table, at)
    return False


def _names_some(bound: Selector, table: Table, at: Steps) -> bool:
    """Return whether a selector of the block at some path names anything."""
    inside = (*table.modules_below(at), *table.below(at))
    return any(bound.matches(row.steps[len(at) :]) for row in inside)


def _around(selectors: Iterable[Selector], table: Table, at: Steps) -> Around:
    """Return the modules that the components in front of each index name, in the block at some path."""
    heads = {head.pattern: head for each in selectors for _, head in _heads(each)}
    found: dict[Pattern, list[ModuleRow]] = {pattern: [] for pattern in heads}
    if heads:
        inside, _ = table.inside[at]
        lookup = Lookup((head, found[pattern]) for pattern, head in heads.items())
        for row in table.modules[inside.start : inside.stop]:
            for rows in lookup.naming(row.steps[len(at) :]):
                rows.append(row)
    return found


def _heads(bound: Selector) -> Iterator[tuple[Chosen, Selector]]:
    """Yield each index, with the selector of what it indexes."""
    for number, part in enumerate(bound.components):
        if isinstance(part, Chosen):
            yield part, bound.head(number)


def _indexed(bound: Selector, around: Around) -> Iterator[tuple[Chosen, list[ModuleRow]]]:
    """Yield each index, with the modules that the components in front of it name."""
    for part, head in _heads(bound):
        check_time(part.place)
        yield part, around[head.pattern]


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
