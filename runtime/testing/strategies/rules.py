"""Rules for a drawn spec: what it shares, initialises and freezes.

The spec is compiled without rules first, so that each rule can be drawn over the names and shapes of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st
from torch import nn

import compiler
from compiler.artifact import Artifact
from compiler.infer.states import BlockState
from compiler.rules.items import bind
from compiler.rules.parametrize import HALVES
from compiler.rules.plan import Plan
from compiler.rules.table import TensorRow
from runtime.testing.strategies.copying import copy_rule
from runtime.testing.strategies.sharing import Ties, draw_shares
from runtime.testing.strategies.tensors import Draw, pick, rarely
from spec_schema.canonical import to_json
from spec_schema.diagnostics import SpecError
from spec_schema.selectors import Step, names_of, parse_selector, path_of

Steps = tuple[Step, ...]
PARAMETRISED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Layers whose weights are parametrised."""
PARAMETRISATIONS = (
    "weight_norm",
    "spectral_norm",
    "weight_norm(dim=None)",
    "spectral_norm(2)",
    "orthogonal",
    "orthogonal('cayley', use_trivialization=False)",
)


@dataclass
class RulePlace:
    """A spec, or a block of it, that may hold rules: the mapping to write into, and where its instances are."""

    body: dict[str, Any]
    instances: list[Steps]
    names: list[str] = field(default_factory=list)
    """Numbers that an expression of a rule may use."""


def _compiled(document: dict[str, Any]) -> compiler.Artifact:
    """Compile a document; one whose copies would be of several classes, which no one loop makes, is not drawn."""
    try:
        return compiler.compile_text(to_json(document), name="spec.json")
    except compiler.SpecError as error:
        if {found.code for found in error.diagnostics} != {"several-classes"}:
            raise
    reject()


def add_rules(draw: Draw, document: dict[str, Any], shared: bool) -> None:
    """Draw rules into a document that has none."""
    artifact = _compiled(document)
    placement = document.pop("placement", None)
    places = list(places_of(document, artifact))
    ties = Ties(artifact.plan.table)
    for place in places:
        if shared or rarely(draw, 3):
            condition = draw_condition(draw, place, artifact.plan)
            if condition.instances:
                draw_shares(draw, place.body, condition.instances, ties, condition.text)
            else:
                draw_shares(draw, place.body, place.instances, Ties(artifact.plan.table), condition.text)
    ruled = bool(ties.groups)
    if not shared and not ruled and rarely(draw, 6):
        ruled = _parametrized(draw, document, artifact.plan)
    for place in reversed(places):
        for _ in range(draw(st.integers(0, 2)) if artifact.plan.rows else 0):
            _rule(draw, place, artifact.plan, ties)
            ruled = True
    if ruled:
        document.pop("presets", None)  # of another size, what a rule names may not be there, nor be alike
    if placement:
        document["placement"] = [{"if": "1 < 2", "then": placement}] if rarely(draw, 4) else placement


def _parametrized(draw: Draw, document: dict[str, Any], plan: Plan) -> bool:
    """Draw a rule that parametrises weights of layers; return whether there are any."""
    rows = [row for row in plan.table.tensors if type(row.module) in PARAMETRISED and row.tensor.ndim > 1]
    if not rows:
        return False
    path = pick(draw, *rows).steps
    dotted = path_of(path)
    text = pick(draw, f"/{dotted}", dotted, f"{path[-2].kind}.weight", path[-2].kind, "/")
    if text == "/" and any(isinstance(row.module, nn.RNNBase) for row in plan.table.tensors):
        text = f"/{dotted}"
    made = pick(draw, *PARAMETRISATIONS)
    if made.startswith("orthogonal") and any(row.tensor.dtype in HALVES for row in plan.table.tensors):
        made = "weight_norm"
    document["parametrize"] = [{text: made}]
    return True


def places_of(document: dict[str, Any], artifact: Artifact) -> Iterator[RulePlace]:
    """Yield the blocks whose bodies can hold rules, and the spec itself last."""
    blocks = artifact.program.scope.blocks
    modules = artifact.plan.table.modules
    for signature, body in document.get("blocks", {}).items():
        definition = blocks[signature.partition("(")[0]]
        instances = [
            m.steps for m in modules if isinstance(m.state, BlockState) and m.state.definition is definition
        ]
        if isinstance(body, dict) and "layers" in body and instances:
            yield RulePlace(body, instances)
    names = [name for name, value in artifact.program.scope.variables.items() if type(value) is int]
    yield RulePlace(document, [()], names)


def _rule(draw: Draw, place: RulePlace, plan: Plan, ties: Ties) -> None:
    """Draw one rule: what it selects holds all names of a tensor, or none."""
    base = place.instances[0]
    inside = [row for row in plan.table.tensors if row.steps[: len(base)] == base]
    if not inside:
        return
    if rarely(draw, 5) and _copies(draw, place, plan, ties):
        return
    text = selector(draw, pick(draw, *inside).steps[len(base) :], place.names)
    condition = draw_condition(draw, place, plan)
    try:
        rows = _selected(text, condition.instances, plan)
    except SpecError:  # another instance has fewer items
        return
    if (condition.instances and not rows) or not ties.whole({row.name for row in rows}):
        return
    if rarely(draw, 2):
        place.body.setdefault("freeze", []).append(condition.around(text))
    elif not rows or any(_draws(row) for row in rows):
        value = initializer(draw, [row for row in rows if _draws(row)], place.names)
        place.body.setdefault("init", []).append(condition.around({text: value}))


def _copies(draw: Draw, place: RulePlace, plan: Plan, ties: Ties) -> bool:
    """Draw a rule that copies first values, if the block has parts that are alike."""
    condition = draw_condition(draw, place, plan)
    rule = copy_rule(draw, condition.instances, ties) if condition.instances else None
    if rule is not None:
        place.body.setdefault("init", []).append(condition.around(rule))
    return rule is not None


@dataclass(frozen=True)
class Condition:
    """A condition, None for none, and the instances of a block in which it holds."""

    text: str | None
    instances: list[Steps]

    def around(self, rule: Any) -> Any:
        """Return an item of a list of rules."""
        return rule if self.text is None else {"if": self.text, "then": [rule]}


def draw_condition(draw: Draw, place: RulePlace, plan: Plan) -> Condition:
    """Draw what rules of a place stand under: mostly nothing."""
    if not rarely(draw, 4):
        return Condition(None, place.instances)
    values = {steps: _values(plan, steps) for steps in place.instances}
    names = place.names if place.instances == [()] else [*values[place.instances[0]]]
    bounds = {
        (name, value)
        for name in names
        if all(type(each[name]) is int for each in values.values())
        for value in (each[name] for each in values.values())
    }
    forms = [Condition("1 < 2", place.instances), Condition("1 > 2", [])]
    forms += [
        Condition(f"{name} >= {least}", [steps for steps, each in values.items() if each[name] >= least])
        for name, least in sorted(bounds)
    ]
    chosen: Condition = pick(draw, *forms)
    return chosen


def _values(plan: Plan, steps: Steps) -> Mapping[str, Any]:
    """Return the compile-time values of an instance of a block."""
    state = next(row.state for row in plan.table.modules if row.steps == steps)
    assert isinstance(state, BlockState)
    return state.values


def _selected(text: str, instances: list[Steps], plan: Plan) -> list[TensorRow]:
    found = []
    for steps in instances:
        chosen = bind(parse_selector(text, None), _values(plan, steps), plan.table, steps)
        found += [row for row in plan.table.below(steps) if chosen.matches(row.steps[len(steps) :])]
    return found


def _draws(row: TensorRow) -> bool:
    """Return whether a tensor has first values that a rule can give."""
    return row.entry is None or row.entry.value is None


def _is_plain(row: TensorRow) -> bool:
    """Return whether only a constant can be the first value: of a number, a variance, or what is made again on load."""
    whole = not row.tensor.dtype.is_floating_point
    return whole or row.name.endswith("running_var") or not row.persistent


def selector(draw: Draw, path: Steps, numbers: list[str]) -> str:
    """Draw a selector that matches a path. `numbers` are variables that an index may use."""
    owner = path[-2] if len(path) > 1 else None
    names, around = [*names_of(path)], path[0]
    path = tuple(step for step in path if step.name)
    forms = ["/" + ".".join(names), ".".join(names), names[-1], f"**.{names[-1]}"]
    if len(names) > 1:
        forms += [
            f"/{'.'.join(names[:-1])}",
            ".".join(["*", *names[1:]]),
            f"{names[-2]}.{{weight,{names[-1]}}}",
        ]
    if not around.name:  # a model that is one node
        forms += [f"/{around.kind}.{'.'.join(names)}", f"{around.kind}.{'.'.join(names)}", around.kind]
    if owner is not None:
        forms += [f"{owner.kind}.{names[-1]}", owner.kind] if owner.kind else []
    if names[0].isdigit():
        forms.append(f"/[0-9].{'.'.join(names[1:])}".rstrip("."))
    if any(step.place for step in path[1:]):
        forms += [_indexed(draw, path, numbers)] * 2
    return str(pick(draw, *forms))


def _indexed(draw: Draw, path: Steps, numbers: list[str]) -> str:
    """Write a path with the items of rows by index."""
    text = path[0].name
    for step in path[1:]:
        text += f".{step.name}" if step.place is None else f"[{_index(draw, *step.place, numbers)}]"
    return text


def _index(draw: Draw, at: int, count: int, numbers: list[str]) -> str:
    """Draw an index, or a slice, that takes an item of a row."""
    forms = [f"{at}", f"{at - count}", f"{at}:{at + 1}", f"{at}:", f":{at + 1}", f"{at - count}::2"]
    forms += [f"{at}:{at + 1} + abs({name})" for name in numbers]
    return str(pick(draw, *forms))


def initializer(draw: Draw, rows: list[TensorRow], names: list[str]) -> Any:
    """Draw an initialiser that can be used for every one of some tensors."""
    plain: list[Any] = ["ones", 0.5, "constant(0.25)", 1]
    if any(_is_plain(row) for row in rows):
        return pick(draw, "ones", 1)
    drawn = ["normal(std=0.5)", "uniform(-0.5, 0.5)", "zeros", "trunc_normal(std=0.5)"]
    drawn += [
        "uniform(-1, 1) * (abs(w) >= 0.5)",
        "mixture([0.25, uniform(1, 2)], [0.5, zeros], [0.25, normal])",
    ]
    drawn += [f"normal(std=1 / sqrt(2 * {name}))" for name in names]
    if all(row.tensor.ndim >= 2 for row in rows):
        drawn += [
            "xavier_uniform",
            "kaiming_normal(mode='fan_out', nonlinearity='relu')",
            "orthogonal(gain=0.5)",
        ]
    return pick(draw, *plain, *drawn)
