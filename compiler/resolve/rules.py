"""The rule sections of a spec or a block, with their selectors and expressions read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from compiler.devices import device_problem
from compiler.program import Scope
from compiler.resolve.checkpoint_form import read_long_form
from compiler.resolve.parametrize import check_arguments, parametrize_rule
from compiler.resolve.values import check_names, free_names
from compiler.rule_records import InitRule, ParametrizeRule, PlacementRule, Rules, SelectorRule, ShareGroup
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.document import Document
from spec_schema.grammar import Expression, parse_expression
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.rule_sections import (
    CONDITIONAL,
    ConditionalPlacement,
    PlacementEntry,
    PlacementNode,
    RuleBearer,
    rule_kind,
)
from spec_schema.selectors import read_selector
from spec_schema.suggest import did_you_mean
from spec_schema.tensors import DTYPES, FLOATS

T = TypeVar("T")
R = TypeVar("R", InitRule, SelectorRule, PlacementRule, ParametrizeRule)


def read_rules(
    bearer: RuleBearer, scope: Scope, problems: list[Diagnostic], names: Iterable[str] = ()
) -> Rules:
    """Return the rules of a spec or block, noting what is wrong in `problems`.

    `names` are those that an index in a selector may use beside the variables of the spec, and in a block a condition.
    Conditions of the spec are decided here, those of a block in each instance of it.
    """
    known = {*scope.variables, *names}
    is_spec = isinstance(bearer, Document)
    read = _Reader(bearer, scope, problems, set(scope.variables) if is_spec else known)
    init = [read.rule(each, partial(_init, *pair)) for each in read.items("init") for pair in each.pairs()]
    share = [read.group(*pair) for pair in _entries(bearer, "share")]
    freeze = [read.rule(each, partial(_selector, each.node)) for each in read.items("freeze")]
    placement, stored = _placements(bearer, read), _parametrizations(bearer, read)
    rules = Rules(_found(init), _found(share), _found(freeze), _found(placement), _found(stored))
    for rule in rules.indexed():
        for index in rule.selector.indices:
            problems.extend(check_names(tuple(index.expressions), known, scope))
    if not is_spec:
        return rules
    scope.deciding |= {name for condition in rules.conditions for name in free_names(condition)}
    return _attempt(problems, partial(rules.decided, scope.variables)) or Rules()


def _placements(bearer: RuleBearer, read: _Reader) -> list[PlacementRule | None]:
    if not isinstance(bearer, Document):
        return []
    pairs = [(each, key) for each in read.items("placement") for key, _ in each.pairs()]
    entries = [entry for rule in _plain(bearer.placement) for entry in rule.values()]
    return [
        read.rule(each, partial(_placement, key, entry))
        for (each, key), entry in zip(pairs, entries, strict=True)
    ]


def _parametrizations(bearer: RuleBearer, read: _Reader) -> list[ParametrizeRule | None]:
    if not isinstance(bearer, Document):
        return []
    pairs = [(each, *pair) for each in read.items("parametrize") for pair in each.pairs()]
    rules = [read.rule(each, partial(parametrize_rule, key, value, read.scope)) for each, key, value in pairs]
    for rule in _found(rules):
        read.problems.extend(check_arguments(rule, read.names, read.scope))
    return rules


def _found(values: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(value for value in values if value is not None)


def _attempt(problems: list[Diagnostic], read: Callable[[], T | None]) -> T | None:
    try:
        return read()
    except SpecError as error:
        problems.extend(error.diagnostics)
        return None


@dataclass(frozen=True)
class _Item:
    """An item of a list of rules, and what it stands under."""

    node: Node
    conditional: bool
    condition: Expression | None

    def pairs(self) -> list[tuple[Scalar, Node]]:
        """Return the positioned `selector: value` pairs."""
        assert isinstance(self.node, Entries)
        return [(at, self.node[name]) for name, at in self.node.keys_at.items()]


@dataclass(frozen=True)
class _Reader:
    """Reads lists of rules. `names` are those that a condition may use."""

    bearer: RuleBearer
    scope: Scope
    problems: list[Diagnostic]
    names: set[str]

    def items(self, key: str) -> Iterator[_Item]:
        """Yield the items of a list, and those under a condition in it."""
        written = self.bearer.source(key) if self.bearer.has(key) else ()
        assert isinstance(written, Items | tuple)
        for node in written:
            if rule_kind(node) == CONDITIONAL:
                assert isinstance(node, Entries)
                condition, then = self.condition(node["if"]), node["then"]
                assert isinstance(then, Items)
                yield from (_Item(each, True, condition) for each in then)
            else:
                yield _Item(node, False, None)

    def rule(self, item: _Item, read: Callable[[], R]) -> R | None:
        """Return a rule with its condition, or None where it is wrong."""
        rule = _attempt(self.problems, read)
        if rule is None or not item.conditional:
            return rule
        return replace(rule, conditional=True, condition=item.condition)

    def group(self, key: Scalar, value: Node) -> ShareGroup | None:
        """Return a group of those who share, or None where it is wrong."""
        conditional = isinstance(value, Entries)
        condition = self.condition(value["if"]) if isinstance(value, Entries) else None
        group = value["then"] if isinstance(value, Entries) else value
        assert isinstance(group, Items)
        selectors = [_attempt(self.problems, partial(_selector, each, conditional)) for each in group]
        return ShareGroup(key.text, _found(selectors), key.span, condition)

    def condition(self, written: Node) -> Expression | None:
        """Return a condition, or None where it is wrong."""
        assert isinstance(written, Scalar)
        condition = _attempt(self.problems, partial(parse_expression, written))
        wrong = check_names(condition, self.names, self.scope) if condition is not None else []
        self.problems.extend(wrong)
        return None if wrong else condition


def _plain(
    rules: Iterable[dict[str, PlacementNode] | ConditionalPlacement],
) -> Iterator[dict[str, PlacementNode]]:
    """Yield the rules, also those under a condition."""
    for rule in rules:
        yield from rule.then if isinstance(rule, ConditionalPlacement) else (rule,)


def _entries(bearer: RuleBearer, key: str) -> list[tuple[Scalar, Node]]:
    if not bearer.has(key):
        return []
    table = bearer.source(key)
    assert isinstance(table, Entries)
    return [(at, table[name]) for name, at in table.keys_at.items()]


def _selector(scalar: Node, conditional: bool = False) -> SelectorRule:
    assert isinstance(scalar, Scalar)
    return SelectorRule(read_selector(scalar), scalar.span, conditional)


def _init(key: Scalar, value: Node) -> InitRule:
    assert isinstance(value, Scalar | Entries)
    expression = read_long_form(value) if isinstance(value, Entries) else parse_expression(value)
    return InitRule(read_selector(key), expression, key.span)


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
