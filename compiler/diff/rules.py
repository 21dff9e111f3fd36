"""What changed about the rules: their texts, whom they touch, and what became of tensors that stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from compiler.artifact import Artifact
from compiler.diff.tensors import Tensors
from compiler.rules.plan import PlanRow
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
    same = _as_before(tensors)
    return [replace(each, decides=not same.issuperset(each.touched)) for each in (*found, *added)]


def _as_before(tensors: Tensors) -> set[str]:
    """Return the tensors of which nothing is decided otherwise."""
    pairs = tensors.pairs.items()
    return {
        two.name for one, two in pairs if _decided(one) == _decided(two) and len(one.names) == len(two.names)
    }


def _merged(one: _Touched, other: _Touched | None) -> tuple[str, ...]:
    return tuple(one.names | (other.names if other is not None else {}))


def _rules(artifact: Artifact, names: Mapping[str, str]) -> dict[_Rule, _Touched]:
    """Return the rules that touch a tensor, with the names of those that they do."""
    found: dict[_Rule, _Touched] = {}
    for row in artifact.plan.rows:
        for decision in row.decisions:
            if decision.section not in SECTIONS or decision.place is None:
                continue
            selector, colon, says = decision.text.partition(": ")
            if not colon and decision.section == "init":
                selector, says = "", decision.text  # beside the parameter
            if decision.section == "share":
                selector, says = decision.text, "one tensor"
            rule = _Rule(decision.section, selector, says)
            found.setdefault(rule, _Touched(decision.where(), {})).names[names.get(row.name, row.name)] = None
    return found


def effects(tensors: Tensors) -> list[Effect]:
    """Return what is decided otherwise for tensors that are there on both sides."""
    found: dict[tuple[Aspect, str, str], list[str]] = {}
    for one, other in tensors.pairs.items():
        ours, theirs = _decided(one), _decided(other)
        for aspect in ours:
            if ours[aspect] != theirs[aspect]:
                found.setdefault((aspect, ours[aspect], theirs[aspect]), []).append(other.name)
    for (before, after), rows in _ties(tensors).items():
        found[("share", before, after)] = rows
    return [Effect(*key, tuple(rows)) for key, rows in found.items()]


def _decided(row: PlanRow) -> dict[Aspect, str]:
    """Return what is decided for a tensor, aspect by aspect."""
    return {
        "kind": row.kind,
        "init": _first_values(row),
        "freeze": "trained" if row.trainable else "not trained",
        "device": row.device,
        "dtype": str(row.dtype).removeprefix("torch."),
        "saved": "saved" if row.persistent else "not saved",
    }


def _first_values(row: PlanRow) -> str:
    """Return the first values of a tensor, with what the names stand for that differ from model to model."""
    made = row.stands_for.plain.initialisation if row.stands_for is not None else row.initialisation
    if row.copied is not None:
        return f"those of {row.copied.source}"
    if made is None:
        return ""
    return f"{made.text}{_where(made.expression, made.names)}"


def _where(expression: Expression, names: Mapping[str, object]) -> str:
    used = sorted(name for name in expression.names if isinstance(names.get(name), int | float | str))
    values = [f"{name} = {names[name]!r}" for name in used]
    return f" where {', '.join(values)}" if values else ""


def _ties(tensors: Tensors) -> Mapping[tuple[str, str], list[str]]:
    """Return the tensors that are one on one side and several on the other."""
    counts: dict[tuple[str, str], list[str]] = {}
    for one, other in tensors.pairs.items():
        if len(one.names) != len(other.names):
            counts.setdefault((_several(one), _several(other)), []).append(other.name)
    return counts


def _several(row: PlanRow) -> str:
    return "one name" if len(row.names) == 1 else f"{len(row.names)} names"


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
