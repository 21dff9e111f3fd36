"""What changed about the rules: their texts, whom they touch, and what became of tensors that stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from compiler.artifact import Artifact
from compiler.diff.tensors import Tensors
from compiler.rules.plan import Decision, PlanRow
from spec_schema.grammar import Expression

Aspect = Literal["init", "share", "freeze", "device", "dtype", "saved", "kind"]
SECTIONS = ("init", "share", "freeze", "placement", "dtype", "parametrize")
"""What decisions come from, of which a spec has rules."""


@dataclass(frozen=True)
class RuleChange:
    """A rule that is not as it was. `before` and `after` are what it says, None where it is not there."""

    section: str
    selector: str
    before: str | None
    after: str | None
    where: str
    """The file and line of the rule as it is now, or as it was."""
    touched: tuple[str, ...]
    """The canonical names of the tensors that it touches, as they are called now if they are still there."""
    decides: bool = True
    """Whether that decides anything otherwise: of a tensor that is there on both sides, or on one alone."""


@dataclass(frozen=True)
class Effect:
    """What is decided otherwise for tensors that are there on both sides."""

    aspect: Aspect
    before: str
    after: str
    tensors: tuple[str, ...]
    """Canonical names, as they are now."""


@dataclass(frozen=True)
class _Rule:
    section: str
    selector: str
    says: str


@dataclass
class _Touched:
    where: str
    names: dict[str, None]


def rule_changes(before: Artifact, after: Artifact, tensors: Tensors) -> list[RuleChange]:
    """Return the rules that are added, removed, or say something else of what they select."""
    names = {row.name: other.name for row, other in tensors.pairs.items()}
    ours, theirs = _rules(before, names), _rules(after, {})
    gone = [rule for rule in ours if rule not in theirs]
    new = [rule for rule in theirs if rule not in ours]
    found = []
    for rule in gone:
        other = next((n for n in new if (n.section, n.selector) == (rule.section, rule.selector)), None)
        if other is not None:
            new.remove(other)
        touched = _merged(ours[rule], theirs[other] if other is not None else None)
        where = theirs[other].where if other is not None else ours[rule].where
        says = None if other is None else other.says
        found.append(RuleChange(rule.section, rule.selector, rule.says, says, where, touched))
    added = (
        RuleChange(r.section, r.selector, None, r.says, theirs[r].where, tuple(theirs[r].names)) for r in new
    )
    same = {row.name for row in tensors.pairs.values()} - _otherwise(before, after, tensors)
    return [replace(each, decides=not same.issuperset(each.touched)) for each in (*found, *added)]


def _otherwise(before: Artifact, after: Artifact, tensors: Tensors) -> set[str]:
    """Return the tensors of which something is decided otherwise."""
    return {name for effect in effects(before, after, tensors) for name in effect.tensors}


def _merged(one: _Touched, other: _Touched | None) -> tuple[str, ...]:
    return tuple(one.names | (other.names if other is not None else {}))


def _rules(artifact: Artifact, names: Mapping[str, str]) -> dict[_Rule, _Touched]:
    """Return the rules that touch a tensor, with the names of those that they decide, or else of all."""
    decided: dict[_Rule, _Touched] = {}
    touched: dict[_Rule, _Touched] = {}
    for row in artifact.plan.rows:
        for decision in row.decisions:
            if decision.section in SECTIONS and decision.place is not None:
                for found in (touched, decided) if decision.won else (touched,):
                    rule = found.setdefault(_rule(decision), _Touched(decision.where(), {}))
                    rule.names[names.get(row.name, row.name)] = None
    return {rule: decided.get(rule, each) for rule, each in touched.items()}


def _rule(decision: Decision) -> _Rule:
    selector, colon, says = decision.text.partition(": ")
    if decision.section == "init" and not colon:
        return _Rule(decision.section, "", decision.text)  # beside the parameter
    return _Rule(decision.section, selector, "one tensor" if decision.section == "share" else says)


def effects(before: Artifact, after: Artifact, tensors: Tensors) -> list[Effect]:
    """Return what is decided otherwise for tensors that are there on both sides."""
    found: dict[tuple[Aspect, str, str], list[str]] = {}
    for one, other in tensors.pairs.items():
        ours, theirs = _decided(one, before), _decided(other, after)
        for aspect in ours:
            if ours[aspect] != theirs[aspect]:
                found.setdefault((aspect, ours[aspect], theirs[aspect]), []).append(other.name)
    return [Effect(*key, tuple(rows)) for key, rows in found.items()]


def _decided(row: PlanRow, artifact: Artifact) -> dict[Aspect, str]:
    """Return what is decided for a tensor, aspect by aspect."""
    return {
        "kind": row.kind,
        "init": _first_values(row, artifact.program.variables),
        "share": "alone" if len(row.names) == 1 else f"one of {len(row.names)}",
        "freeze": "trained" if row.trainable else "not trained",
        "device": row.device,
        "dtype": str(row.dtype).removeprefix("torch."),
        "saved": "saved" if row.persistent else "not saved",
    }


def _first_values(row: PlanRow, variables: Mapping[str, object]) -> str:
    """Return the first values of a tensor, with the values of the variables of the spec in them.

    What follows from the sizes of its layer is no decision.
    """
    made = row.stands_for.plain.initialisation if row.stands_for is not None else row.initialisation
    if row.copied is not None:
        return f"those of {row.copied.source}"
    if made is None:
        return ""
    return f"{made.text}{_where(made.expression, variables)}"


def _where(expression: Expression, names: Mapping[str, object]) -> str:
    used = sorted(name for name in expression.names if isinstance(names.get(name), int | float | str))
    values = [f"{name} = {names[name]!r}" for name in used]
    return f" where {', '.join(values)}" if values else ""


def unexplained(changes: Iterable[RuleChange], found: Iterable[Effect]) -> Iterator[Effect]:
    """Yield the effects on tensors that no changed rule touches."""
    touched = {(section, name) for each in changes for section, name in _touches(each)}
    for effect in found:
        left = tuple(name for name in effect.tensors if (effect.aspect, name) not in touched)
        if left:
            yield Effect(effect.aspect, effect.before, effect.after, left)


def _touches(change: RuleChange) -> Iterator[tuple[str, str]]:
    aspect = "device" if change.section == "placement" else change.section
    return ((aspect, name) for name in change.touched)
