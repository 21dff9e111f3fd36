"""Which optimizer trains which parameter, and with which options: `optimizer` and `groups` of the section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.infer.states import Chain
from compiler.program import Repeat, Scope
from compiler.resolve.values import free_names
from compiler.rule_records import Rules, SelectorRule
from compiler.rules.items import bind, takes_nothing
from compiler.rules.plan import Decision, Plan, PlanRow
from compiler.rules.table import RuleScope
from compiler.rules.unused import unused_selector
from compiler.training.calls import Making, check_option, default_of, optimizers, read_making
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression, parse_expression
from spec_schema.reader import Scalar
from spec_schema.selectors import Selector, Step, read_selector
from spec_schema.source import Span
from spec_schema.train_section import Train

REST = "else"
"""The key of the optimizer for what no selector names. It is a word of Python, so that nothing bears that name."""
INDEX = "index"
SHOWN = 4
"""Names of parameters in a note."""
MATRICES = frozenset({"Muon"})
"""Optimizers of torch that take parameters of two dimensions alone."""
ALONE = frozenset({"LBFGS"})
"""Optimizers of torch that need the loss as a function of all parameters, in one group."""
SETS_RATES = frozenset({"OneCycleLR", "CyclicLR"})
"""Schedules of torch that do not start from the rates of the groups."""
ALWAYS_TOLD = ("lr", "weight_decay")


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that one optimizer trains with the same options."""

    optimizer: int
    """Which of the optimizers of the section."""
    options: Mapping[str, Any]
    """Those that differ from the optimizer's own."""
    parameters: tuple[str, ...]
    """All of their names, in the order of the plan."""
    decisions: Mapping[str, tuple[Decision, ...]] = field(repr=False)
    """The lines that decided, by parameter."""


Grouping = tuple[tuple[Making, ...], tuple[ParameterGroup, ...]]


@dataclass(frozen=True)
class Option:
    """One option that a group gives to what its selector names."""

    selector: Selector
    name: Scalar
    expression: Expression


def read_groups(train: Train, plan: Plan, scope: Scope) -> Grouping:
    """Return the optimizers, and the group of each trained parameter.

    Raises:
        SpecError: with every reason why `optimizer` or `groups` is refused.
    """
    return _Reader(train, plan, scope).read()


@dataclass(eq=False)
class _Reader:
    train: Train
    plan: Plan
    scope: Scope
    problems: list[Diagnostic] = field(default_factory=list)

    def read(self) -> Grouping:
        self.trained = [row for row in self.plan.parameters if row.trainable]
        makings, chosen = self._optimizers()
        options = self._options()
        if self.problems:
            raise SpecError(self.problems)
        found: dict[str, ParameterGroup] = {}
        for row in self.trained:
            at = chosen[row.name]
            group = self._group(row, at, makings[at], options.get(row.name, []))
            found[row.name] = group
        groups = tuple(_merged(found.values()))
        self.problems.extend(_not_alone(makings, groups))
        if self.problems:
            raise SpecError(self.problems)
        return tuple(makings), groups

    # Optimizers.

    def _optimizers(self) -> tuple[list[Making], Mapping[str, int]]:
        """Return the optimizers, and which of them trains each parameter."""
        written = self.train.optimizer
        if isinstance(written, Scalar):
            made = [read_making(written, optimizers(), self.scope)]
            self._check_matrices(made[0], self.trained)
            return made, {row.name: 0 for row in self.trained}
        makings: list[Making] = []
        owner: dict[str, int] = {}
        keys = list(self.train.keys_of("optimizer").values())
        for key in sorted(keys, key=lambda each: each.text == REST):
            try:
                makings.append(read_making(written[key.text], optimizers(), self.scope))
                rows = self._taken(key, owner)
            except SpecError as error:
                self.problems.extend(error.diagnostics)
                continue
            self._claim(rows, key, len(makings) - 1, owner, keys)
            self._check_matrices(makings[-1], rows)
        if not self.problems:
            self._check_all(owner)
        return makings, owner

    def _taken(self, key: Scalar, owner: Mapping[str, int]) -> list[PlanRow]:
        if key.text != REST:
            return self._named(key)[1]
        rest = [row for row in self.trained if row.name not in owner]
        if not rest and self.trained:
            raise refuse(
                "unused-rule",
                "nothing is left for `else`: other selectors name each trained parameter",
                key.span,
            )
        return rest

    def _claim(
        self, rows: Sequence[PlanRow], key: Scalar, number: int, owner: dict[str, int], keys: Sequence[Scalar]
    ) -> None:
        twice = [row.name for row in rows if row.name in owner]
        owner.update({row.name: number for row in rows})
        if twice:
            other = next(k for k in keys if k is not key and k.text != REST and self._names(k, twice[0]))
            self.problems.append(
                Diagnostic(
                    "group-overlap",
                    f"`{twice[0]}` would have two optimizers",
                    key.span,
                    labels=(Label(other.span, "it is named here too"),),
                    notes=_others(twice[1:]),
                    help="narrow one of the selectors; options that differ stand in `groups`",
                )
            )

    def _names(self, key: Scalar, name: str) -> bool:
        return any(row.name == name for row in self._named(key)[1])

    def _check_all(self, owner: Mapping[str, int]) -> None:
        left = [row.name for row in self.trained if row.name not in owner]
        if left:
            self.problems.append(
                Diagnostic(
                    "missing-optimizer",
                    f"no optimizer has `{left[0]}`, which is trained",
                    self.train.at("optimizer"),
                    notes=_others(left[1:]),
                    help="`else: AdamW` takes what no other selector names; `freeze` keeps it as it is",
                )
            )

    def _check_matrices(self, making: Making, rows: Sequence[PlanRow]) -> None:
        wrong = [row for row in rows if len(row.shape) != 2] if making.name in MATRICES else []
        if wrong:
            self.problems.append(
                Diagnostic(
                    "bad-argument",
                    f"`{making.name}` trains matrices, and `{wrong[0].name}` is {list(wrong[0].shape)}",
                    making.span,
                    notes=_others([row.name for row in wrong[1:]]),
                    help="give the others another optimizer: `optimizer: {SELECTOR: Muon(...), else: AdamW(...)}`",
                )
            )

    # Options.

    def _options(self) -> dict[str, list[Option]]:
        """Return the options that groups give to each trained parameter."""
        found: dict[str, list[Option]] = {}
        for key in self.train.keys_of("groups").values():
            try:
                selector, rows = self._named(key)
                options = self._written(key, selector)
            except SpecError as error:
                self.problems.extend(error.diagnostics)
                continue
            for row in rows:
                found.setdefault(row.name, []).extend(options)
        return found

    def _written(self, key: Scalar, selector: Selector) -> list[Option]:
        table = self.train.table("groups")[key.text]
        values = self.train.groups[key.text]
        return [
            Option(selector, table.keys_at[name], parse_expression(value))  # type: ignore[union-attr]
            for name, value in values.items()
        ]

    def _group(self, row: PlanRow, at: int, making: Making, options: Sequence[Option]) -> ParameterGroup:
        own = {name: default_of(making, optimizers(), name) for name in ALWAYS_TOLD} | dict(making.arguments)
        values: dict[str, tuple[Any, Option]] = {}
        for option in options:
            name = option.name.text
            if name in values:
                self._twice(row, option, values[name][1])
                continue
            try:
                value = self._value(row, option, {k: v for k, v in own.items() if v is not None})
                check_option(making, optimizers(), option.name, option.expression, value, self.scope)
            except SpecError as error:
                self.problems.extend(each for each in error.diagnostics if each not in self.problems)
                continue
            values[name] = value, option
        given = {name: value for name, (value, _) in values.items()}
        changed = {name: value for name, value in given.items() if name not in own or own[name] != value}
        return ParameterGroup(at, changed, row.names, {row.name: tuple(_decisions(making, own, values))})

    def _value(self, row: PlanRow, option: Option, own: Mapping[str, Any]) -> Any:
        names = {**self.scope.variables, **own}
        if INDEX in free_names(option.expression):
            index = self._index(row, option.selector)
            if index is None:
                raise refuse(
                    "unknown-name",
                    f"`{INDEX}` is the number of a copy, and `{row.name}` is in no `repeat` that has a name",
                    option.expression.place,
                )
            names[INDEX] = index
        return evaluate(option.expression, names)

    def _index(self, row: PlanRow, selector: Selector) -> int | None:
        """Return the number of the copy: in the innermost repeat that the selector reaches, else the outermost one."""
        for name in row.names:
            steps = self.plan.table.by_name[name].steps
            if not selector.matches(steps):
                continue
            reached = next(n for n in range(len(steps) + 1) if selector.matches(steps[:n]))
            around = [n for n in range(len(steps)) if self._is_repeat(steps[:n])]
            inner = [n for n in around if n <= reached]
            at = inner[-1] if inner else around[0] if around else None
            place = None if at is None else steps[at].place
            return None if place is None else place[0]
        return None

    def _is_repeat(self, steps: tuple[Step, ...]) -> bool:
        modules, _ = self.plan.table.inside[steps]
        state = self.plan.table.modules[modules.start].state
        return isinstance(state, Chain) and isinstance(state.node, Repeat)

    def _twice(self, row: PlanRow, option: Option, first: Option) -> None:
        if any(each.span == option.name.span for each in self.problems):
            return
        self.problems.append(
            Diagnostic(
                "group-overlap",
                f"`{option.name.text}` of `{row.name}` is set twice",
                option.name.span,
                labels=(Label(first.name.span, "and here"),),
                help="narrow one of the selectors",
            )
        )

    # Selectors.

    def _named(self, key: Scalar) -> tuple[Selector, list[PlanRow]]:
        """Return the selector, bound, and the trained parameters that it names."""
        selector = read_selector(key)
        table = self.plan.table
        rows = self.plan.select(selector)
        bound = bind(selector, table.values, table)
        if not rows and not takes_nothing(bound, table, (), False):
            everywhere = RuleScope((), Rules(), _root(self.plan))
            raise SpecError([unused_selector(SelectorRule(selector, key.span), everywhere, table)])
        return bound, [row for row in rows if row.kind == "parameter" and row.trainable]


def rate_problems(schedule: Making, grouping: Grouping) -> Iterator[Diagnostic]:
    """Yield what is wrong with a schedule that sets one rate for all parameters where they have several."""
    makings, groups = grouping
    rates = {group.options.get("lr", makings[group.optimizer].arguments.get("lr")) for group in groups}
    inner = [value for value in schedule.arguments.values() if isinstance(value, list)]
    nested = [each for value in inner for each in value if isinstance(each, Making)]
    for each in (schedule, *nested):
        if (
            each.name in SETS_RATES
            and len(rates) > 1
            and isinstance(each.arguments.get("max_lr"), int | float)
        ):
            yield Diagnostic(
                "conflicting-keys",
                f"`{each.name}` gives one rate to all parameters, and here they have {len(rates)}",
                each.span,
                help="choose a schedule that multiplies them, such as `CosineAnnealingLR`",
            )


def _not_alone(makings: Sequence[Making], groups: Sequence[ParameterGroup]) -> Iterator[Diagnostic]:
    """Yield the refusal of an optimizer that trains all parameters alike, where others have some or some differ."""
    for number, making in enumerate(makings):
        others = [each for each in makings if each is not making]
        options = [
            each
            for group in groups
            if group.optimizer == number and group.options
            for each in next(iter(group.decisions.values()))
            if each.section in group.options
        ]
        if making.name not in ALONE or not (others or options):
            continue
        place, text = (
            (others[0].span, "the other") if others else (options[0].place, "an option of some of them")
        )
        labels = (Label(place, text),) if place is not None else ()
        yield Diagnostic(
            "conflicting-keys",
            f"`{making.name}` trains all parameters, with the same options",
            making.span,
            labels=labels,
            notes=("it computes the loss several times in a step, which moves all that it depends on",),
            help=f"write `optimizer: {making.name}(...)` and no `groups`, or choose another optimizer",
        )


def _root(plan: Plan) -> Any:
    return plan.table.modules[0].state


def _others(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return (f"and {shown}" + (f", {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""),)


def _decisions(
    making: Making, own: Mapping[str, Any], values: Mapping[str, tuple[Any, Option]]
) -> Iterator[Decision]:
    """Yield what decides about a parameter: its optimizer, its rate and decay, and what a group sets."""
    yield Decision("optimizer", making.name, making.span)
    for name in dict.fromkeys([*ALWAYS_TOLD, *values]):
        if name in values:
            value, option = values[name]
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            yield Decision(name, f"{text}: {option.selector.text}", option.name.span)
        elif own.get(name) is not None:
            written: Span | None = making.span if name in making.arguments else None
            yield Decision(name, str(own[name]), written)


def _merged(groups: Any) -> Iterator[ParameterGroup]:
    """Yield one group for all those of one optimizer with equal options."""
    found: dict[Any, list[ParameterGroup]] = {}
    for group in groups:
        key = group.optimizer, tuple(sorted((k, repr(v)) for k, v in group.options.items()))
        found.setdefault(key, []).append(group)
    for alike in found.values():
        parameters = tuple(name for group in alike for name in group.parameters)
        decisions = {name: each for group in alike for name, each in group.decisions.items()}
        yield ParameterGroup(alike[0].optimizer, alike[0].options, parameters, decisions)
