"""Whether the weights of one model load into another, and the rule that loads them, which is compiled to prove it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from compiler.artifact import Artifact, Canonical
from compiler.checkpoint_mapping.plan import LoadPlan, plan_loads
from compiler.checkpoint_mapping.recipes import Named
from compiler.checkpoint_mapping.rewriting import Header
from compiler.checkpoint_mapping.uses import checkpoint_uses
from compiler.diff.covers import cover
from compiler.diff.matching import Matching
from compiler.diff.renames import Name, renames
from compiler.diff.tensors import Tensors
from compiler.diff.tree import Module
from compiler.pipeline import compile_canonical
from compiler.rules.plan import PlanRow
from spec_schema.canonical import to_yaml
from spec_schema.diagnostics import SpecError


@dataclass(frozen=True, eq=False)
class Weights:
    """What the weights of the first model are to the second one."""

    loaded: tuple[str, ...]
    """The tensors of the second model that they fill."""
    left: tuple[str, ...]
    """Those that keep the first values which the spec gives them."""
    skipped: tuple[str, ...]
    """The tensors of the first model that the rule leaves out."""
    lost: tuple[str, ...]
    """Those among them that are nowhere in the second one."""
    rule: tuple[Mapping[str, Any], ...]
    """Items of `init` that load them; none where nothing loads."""
    problem: str | None
    """Why the rule is none, after it was compiled into the second spec; None where it loads these tensors alone."""
    as_it_is: bool
    """Whether a saved model of the first spec has the names, shapes and dtypes of the second one."""

    @property
    def proven(self) -> bool:
        """Whether there is a rule, which was compiled, and loads these tensors and no others."""
        return bool(self.rule) and self.problem is None

    @property
    def text(self) -> str:
        """The rule, as it stands below `init:`."""
        return to_yaml([dict(item) for item in self.rule]) if self.rule else ""


def weights(before: Artifact, after: Artifact, matching: Matching, tensors: Tensors, path: str) -> Weights:
    """Return which weights of the first model load into the second one, from a file of this path."""
    targets = [row for row in after.plan.rows if _is_target(row)]
    loads = _loads(tensors, targets)
    taken = set(loads.values())
    left = [row for row in targets if row not in taken]
    sources = [row.name for row in _saved(before)]
    gone = [name for name in sources if name not in {row.name for row in loads}]
    rule = _rule(loads, left, targets, sources, gone, path, matching) if loads else ()
    return Weights(
        tuple(row.name for row in loads.values()),
        tuple(row.name for row in left),
        tuple(gone),
        tuple(row.name for row in tensors.removed if row.persistent),
        rule,
        _problem(before, after, loads, rule, path) if rule else None,
        _forms(before) == _forms(after),
    )


def _saved(artifact: Artifact) -> list[PlanRow]:
    return [row for row in artifact.plan.rows if row.persistent]


def _forms(artifact: Artifact) -> set[tuple[object, ...]]:
    return {(row.names, row.kind, row.shape, row.dtype) for row in _saved(artifact)}


def _is_target(row: PlanRow) -> bool:
    """Return whether a tensor gets its values from a rule: others belong to the spec."""
    return row.persistent and (row.initialisation is not None or row.stands_for is not None)


def _loads(tensors: Tensors, targets: Iterable[PlanRow]) -> dict[PlanRow, PlanRow]:
    """Return the tensors that can be loaded, each with the one that it becomes.

    What a parameter is stored as is loaded whole: a rule knows the parameter alone.
    """
    found = {
        one: other
        for one, other in tensors.pairs.items()
        if one.persistent and _is_target(other) and one.shape == other.shape and _kind(one) == _kind(other)
    }
    taken = set(found.values())
    torn = {row.in_table for row in targets if row.stands_for is not None and row not in taken}
    return {one: other for one, other in found.items() if other.in_table not in torn}


def _kind(row: PlanRow) -> tuple[bool, bool]:
    return row.dtype.is_floating_point, row.dtype.is_complex


# --- the rule -------------------------------------------------------------------------------------------


def _rule(
    loads: Mapping[PlanRow, PlanRow],
    left: Sequence[PlanRow],
    targets: Sequence[PlanRow],
    sources: Sequence[str],
    gone: Sequence[str],
    path: str,
    matching: Matching,
) -> tuple[Mapping[str, Any], ...]:
    """Return the items of `init` that load what loads."""
    stars = _stars(matching)
    names = [
        Name(one.name, other.name, _parts(one.name, stars[0]), _parts(other.name, stars[1]))
        for one, other in loads.items()
    ]
    call: dict[str, Any] = {"checkpoint": path}
    made = renames(names) if any(name.now != name.wanted for name in names) else {}
    if made:
        call["rename"] = dict(made)
    if gone:
        call["skip"] = cover(gone, sources)
    selectors = _chosen(list(loads.values()), left, targets)
    kept = _kept(left, targets) if selectors == ["/"] else ()
    return (*({selector: call} for selector in selectors), *kept)


def _chosen(loaded: Sequence[PlanRow], left: Sequence[PlanRow], targets: Sequence[PlanRow]) -> list[str]:
    """Return selectors of the tensors that are loaded: of all, if others can be given their own values again."""
    if not left:
        return ["/"]
    found = cover(_names(loaded), _names(targets))
    tops = [selector.removeprefix("/") for selector in found]
    if all(top.isidentifier() for top in tops):
        return [found[0] if len(found) == 1 else f"/{{{','.join(tops)}}}"]
    return found if len(found) == 1 or not all(map(_own_text, left)) else ["/"]


def _names(rows: Iterable[PlanRow]) -> list[str]:
    """Return all names by which rules know some tensors: what is said of one that has several, is said of all."""
    return list(dict.fromkeys(name for row in rows for name in row.in_table))


def _kept(left: Sequence[PlanRow], targets: Sequence[PlanRow]) -> Iterator[Mapping[str, Any]]:
    """Yield rules that give the tensors which are not loaded the first values that they had."""
    by_text: dict[str, list[str]] = {}
    for row in left:
        by_text.setdefault(_own_text(row), []).extend(row.in_table)
    for text, names in by_text.items():
        yield from ({selector: text} for selector in cover(names, _names(targets)))


def _own_text(row: PlanRow) -> str:
    """Return the first values of a tensor as an expression that holds anywhere in the spec; "" if there is none."""
    made = row.initialisation
    if made is None:
        return ""
    return ast.unparse(_Constants(made.names).visit(deepcopy(made.expression.tree)))


@dataclass(frozen=True)
class _Constants(ast.NodeTransformer):
    """Puts numbers and texts in the places of names, but for those that every tensor has."""

    names: Mapping[str, object]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.names.get(node.id)
        if isinstance(value, int | float | str) and node.id not in ("fan_in", "fan_out"):
            return ast.Constant(value)
        return node


def _stars(matching: Matching) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the paths of the copies of repeats, in either model."""
    before, after = matching.pairs[0]
    return _copies(before), _copies(after)


def _copies(root: Module) -> Mapping[str, int]:
    return {child.path: 0 for each in root.walk() if each.is_repeat for child in each.children}


def _parts(name: str, copies: Mapping[str, int]) -> tuple[str, ...]:
    parts = name.split(".")
    return tuple(
        "*" if ".".join(parts[: at + 1]) in copies and part.isdigit() else part
        for at, part in enumerate(parts)
    )


# --- its proof ------------------------------------------------------------------------------------------


def with_rule(canonical: Canonical, rule: Sequence[Mapping[str, Any]]) -> Canonical:
    """Return a canonical spec with more items at the end of its `init`."""
    document = {**canonical["spec"]}
    document.pop("train", None)
    document["init"] = [*document.get("init", []), *map(dict, rule)]
    return {"spec": document, "imports": canonical["imports"]}


def _problem(
    before: Artifact,
    after: Artifact,
    loads: Mapping[PlanRow, PlanRow],
    rule: Sequence[Mapping[str, Any]],
    path: str,
) -> str | None:
    """Compile the second spec with the rule, and return what is wrong with it; None if it does what is meant."""
    try:
        plan = _load_plan(before, after, rule, path)
    except SpecError as error:
        return error.diagnostics[0].message
    found = {
        load.row.name: recipe
        for each in plan.rules
        for load in each.loads.values()
        for recipe in load.recipes.values()
    }
    wanted = {other.name: Named(one.name) for one, other in loads.items()}
    return None if found == wanted else "it takes tensors for others than those that are meant"


def _load_plan(before: Artifact, after: Artifact, rule: Sequence[Mapping[str, Any]], path: str) -> LoadPlan:
    made = compile_canonical(
        with_rule(after.canonical, rule),
        name=after.name,
        plugins=tuple(after.inferred.plugins.plugins.values()),
        limits=after.inferred.limits,
    )
    headers = {row.name: Header(row.name, row.shape, row.dtype) for row in _saved(before)}
    uses = [use for use in checkpoint_uses(made) if use.surgery.path == path]
    return plan_loads(made.plan, uses, {path: headers})
