"""The rule sections of a spec or a block, with their selectors and expressions read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from compiler.devices import device_problem
from compiler.program import InitRule, PlacementRule, Rules, Scope, SelectorRule, ShareGroup
from compiler.resolve.checkpoint_form import read_long_form
from compiler.resolve.values import check_names
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.document import Document, PlacementEntry, RuleBearer
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.selectors import read_selector
from spec_schema.suggest import did_you_mean
from spec_schema.tensors import DTYPES, FLOATS

T = TypeVar("T")


def read_rules(
    bearer: RuleBearer, scope: Scope, problems: list[Diagnostic], names: Iterable[str] = ()
) -> Rules:
    """Return the rules of a spec or block, noting what is wrong in `problems`.

    `names` are those that an index in a selector may use beside the variables of the spec.
    """
    init = [_attempt(problems, partial(_init, *pair)) for pair in _pairs(bearer, "init")]
    share = [_attempt(problems, partial(_share, *pair, scope)) for pair in _entries(bearer, "share")]
    freeze = [_attempt(problems, partial(_selector, scalar)) for scalar in bearer.freeze]
    placement: list[PlacementRule | None] = []
    if isinstance(bearer, Document):
        entries = [node for rule in bearer.placement for node in rule.values()]
        pairs = zip(_pairs(bearer, "placement"), entries, strict=True)
        placement = [_attempt(problems, partial(_placement, key, entry)) for (key, _), entry in pairs]
    rules = Rules(_found(init), _found(share), _found(freeze), _found(placement))
    known = {*scope.variables, *names}
    for rule in rules.indexed():
        for index in rule.selector.indices:
            problems.extend(check_names(tuple(index.expressions), known, scope))
    return rules


def _found(values: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(value for value in values if value is not None)


def _attempt(problems: list[Diagnostic], read: Callable[[], T | None]) -> T | None:
    try:
        return read()
    except SpecError as error:
        problems.extend(error.diagnostics)
        return None


def _pairs(bearer: RuleBearer, key: str) -> list[tuple[Scalar, Node]]:
    """Return the positioned `selector: value` pairs of a rule list."""
    if not bearer.has(key):
        return []
    rules = bearer.source(key)
    assert isinstance(rules, Items)
    return [
        (at, rule[name]) for rule in rules if isinstance(rule, Entries) for name, at in rule.keys_at.items()
    ]


def _entries(bearer: RuleBearer, key: str) -> list[tuple[Scalar, Node]]:
    if not bearer.has(key):
        return []
    table = bearer.source(key)
    assert isinstance(table, Entries)
    return [(at, table[name]) for name, at in table.keys_at.items()]


def _selector(scalar: Scalar) -> SelectorRule:
    return SelectorRule(read_selector(scalar), scalar.span)


def _init(key: Scalar, value: Node) -> InitRule:
    assert isinstance(value, Scalar | Entries)
    expression = read_long_form(value) if isinstance(value, Entries) else parse_expression(value)
    return InitRule(read_selector(key), expression, key.span)


def _share(key: Scalar, value: Node, scope: Scope) -> ShareGroup | None:
    """Return a group of those who share; None where its condition does not hold."""
    group = value["then"] if isinstance(value, Entries) else value
    assert isinstance(group, Items)
    selectors = tuple(_selector(item) for item in group if isinstance(item, Scalar))
    if isinstance(value, Entries) and not _holds(value["if"], scope):
        return None
    return ShareGroup(key.text, selectors, key.span)


def _holds(written: Node, scope: Scope) -> bool:
    """Say whether a condition over the variables of the spec holds.

    Raises:
        SpecError: it names something else, or cannot be computed.
    """
    assert isinstance(written, Scalar)
    condition = parse_expression(written)
    problems = check_names(condition, scope.variables, scope)
    if problems:
        raise SpecError(problems)
    return bool(evaluate(condition, scope.variables))


def _placement(key: Scalar, entry: Scalar | PlacementEntry) -> PlacementRule:
    selector = read_selector(key)
    device, dtype = (entry, None) if isinstance(entry, Scalar) else (entry.device, entry.dtype)
    problems = [
        device_problem(device.text, device.span) if device is not None else None,
        _dtype_problem(dtype) if dtype is not None else None,
    ]
    if any(problems):
        raise SpecError(filter(None, problems))
    return PlacementRule(
        selector,
        device.text if device else None,
        dtype.text if dtype else None,
        key.span,
        device.span if device else None,
        dtype.span if dtype else None,
    )


def _dtype_problem(dtype: Scalar) -> Diagnostic | None:
    """Return what is wrong with the dtype of a model: it is to have gradients."""
    if dtype.text in FLOATS:
        return None
    near = did_you_mean(dtype.text, FLOATS)
    known = dtype.text in DTYPES
    return Diagnostic(
        "unknown-dtype",
        f"a model cannot be `{dtype.text}`" if known else f"there is no dtype `{dtype.text}`",
        dtype.span,
        notes=() if near else (f"dtypes of a model: {', '.join(FLOATS)}",),
        help=f"did you mean `{near}`?" if near else None,
    )
