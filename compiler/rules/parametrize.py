"""Parametrisations by rule: which parameters a layer stores as other tensors, under torch's own names."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from compiler.catalogue.annotations import accepted, describe, fits_argument
from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.values import freeze, show
from compiler.infer.watched import watched
from compiler.rule_records import ParametrizeRule
from compiler.rules.parametrization import Parametrization, Stored, parametrize, refused
from compiler.rules.share import Group
from compiler.rules.table import RuleScope, Table, TensorRow
from compiler.rules.without_values import constructed_on_meta
from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.selectors import Step

MOST = {"n_power_iterations": 100}
"""Arguments that are a number of steps of each forward, with the largest that they may be."""
HALVES = (torch.float16, torch.bfloat16)
WEIGHT = "weight"
"""What a selector of a layer means."""


@dataclass(eq=False)
class Parametrizer:
    """Finds what the rules of a model parametrise; problems are collected."""

    table: Table
    scope: RuleScope
    problems: list[Diagnostic]
    note: Callable[[object], None]
    """Is told which rules are used."""
    made: dict[object, tuple[Stored, ...]] = field(default_factory=dict)

    def find(self, groups: Sequence[Group]) -> dict[str, Parametrization]:
        """Return what stands in the place of a parameter, by each name of it."""
        found: dict[str, Parametrization] = {}
        given = {rule: self._arguments(rule) for rule in self.scope.rules.parametrize}
        for row in self.table.tensors if given else ():
            check_time(row.span)
            for rule in self._naming(row):
                self.note(rule)
                arguments = given[rule]
                if arguments is not None:
                    self._add(rule, arguments, row, found)
        self._check_shared(groups, found)
        return found

    def _naming(self, row: TensorRow) -> list[ParametrizeRule]:
        """Return the rules that name a parameter, or what is around it if it is a weight."""
        if row.kind != "parameter":
            return []
        found = list(self.scope.parametrize.matching(row.steps))
        if row.steps[-1].name == WEIGHT and row.tensor.ndim > 1:
            return found
        return [rule for rule in found if self.scope.selector(rule).names(row.steps)]

    def _add(
        self,
        rule: ParametrizeRule,
        arguments: Mapping[str, Any],
        row: TensorRow,
        found: dict[str, Parametrization],
    ) -> None:
        before = found.get(row.name)
        problem = _double(row, rule, before.rule) if before is not None else _unfit(row, rule)
        if problem is not None:
            known = any(each.span == problem.span and each.code == problem.code for each in self.problems)
            self.problems.extend([] if known else [problem])
            return
        assert row.module is not None
        name = row.steps[-1].name
        try:
            stored = self._stored(row.module, name, rule, arguments)
        except TORCH_ERRORS as error:
            self.problems.append(refused(rule, row.name, error))
            return
        found[row.name] = Parametrization(rule.type, arguments, name, rule, stored)

    def _stored(
        self, module: nn.Module, name: str, rule: ParametrizeRule, arguments: Mapping[str, Any]
    ) -> tuple[Stored, ...]:
        key = (module, name, rule.type.name, freeze(sorted(arguments.items())))
        if key not in self.made:
            with constructed_on_meta(), watched(rule.value.place, tuple):
                changed = parametrize(rule.type, copy.deepcopy(module), name, arguments)
            self.made[key] = tuple(_tensors(changed, name))
        return self.made[key]

    def _arguments(self, rule: ParametrizeRule) -> dict[str, Any] | None:
        call = rule.value.tree
        if not isinstance(call, ast.Call):
            return {}
        names = [each.name for each in rule.type.positional]
        written = [*zip(names, call.args, strict=False), *((str(k.arg), k.value) for k in call.keywords)]
        try:
            return {name: self._argument(rule, name, value) for name, value in written}
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None

    def _argument(self, rule: ParametrizeRule, name: str, written: ast.expr) -> object:
        """Return the value of an argument."""
        value, place = evaluate(rule.value.part(written), self.scope.state.values), rule.value.span(written)
        argument = rule.type.argument(name)
        if not fits_argument(value, argument):
            takes = describe(accepted(argument))
            message = f"`{name}` of `{rule.type.name}` takes {takes}, and not {show(value)}"
            raise refuse("argument-type", message, place)
        limit = MOST.get(name) if rule.type.cls is None else None
        if limit is not None and isinstance(value, int | float) and value > limit:
            note = f"the limit is {limit}: each takes steps of its own"
            message = f"`{name}` of `{rule.type.name}` is {value:,}"
            raise refuse("costly-argument", message, place, notes=(note,))
        return value

    def _check_shared(self, groups: Sequence[Group], found: Mapping[str, Parametrization]) -> None:
        """Report parameters that are one with others, and of which one is stored otherwise."""
        for group in groups:
            kinds = {found[row.name].key if row.name in found else None for row in group.rows}
            odd = next((row for row in group.rows if row.name in found), None)
            if odd is None or len(group.rows) == 1 or (len(kinds) == 1 and _of_layers(group)):
                continue
            other = next(row for row in group.rows if row is not odd)
            self.problems.append(
                Diagnostic(
                    "share-kinds",
                    f"`{odd.name}` is parametrised, and is one tensor with `{other.name}`",
                    group.rules[0].span,
                    labels=(Label(found[odd.name].rule.span, f"the rule of `{odd.name}`"),),
                    help="share the whole layers, both parametrised alike",
                )
            )


def _of_layers(group: Group) -> bool:
    """Return whether whole layers are shared: their tensors are called alike, and each rule names none of them."""
    selectors = [each.selector for rule in group.rules for each in rule.selectors]
    return not any(selector.names(row.steps) for row in group.rows for selector in selectors)


def _tensors(module: nn.Module, name: str) -> list[Stored]:
    """Return what a parametrised layer stores for a parameter, in the order of its state dict."""
    around = (Step("parametrizations", "ModuleDict"), Step(name, "ParametrizationList"))
    held = module.get_submodule(f"parametrizations.{name}")
    found: list[Stored] = []
    for path, part in held.named_modules():
        inner = _steps(held, path)
        for kind, tensors in (("parameter", part._parameters), ("buffer", part._buffers)):
            for each, tensor in tensors.items():
                if tensor is not None:
                    found.append(Stored((*around, *inner, Step(each)), tensor, kind, bool(path)))
        unsaved = min(part._non_persistent_buffers_set, default=None)
        if unsaved is not None:
            raise ValueError(f"its buffer `{unsaved}` is not saved: register it without `persistent=False`")
    return found


def _steps(held: nn.Module, path: str) -> tuple[Step, ...]:
    """Return the way to a module inside of what is held."""
    steps: list[Step] = []
    for name in path.split(".") if path else ():
        held = held.get_submodule(name)
        steps.append(Step(name, type(held).__name__))
    return tuple(steps)


def _double(row: TensorRow, rule: ParametrizeRule, before: ParametrizeRule) -> Diagnostic:
    return Diagnostic(
        "double-parametrization",
        f"two rules parametrise `{row.name}`",
        rule.span,
        labels=(Label(before.span, "the other rule"),),
        help="narrow one of the selectors",
    )


def _unfit(row: TensorRow, rule: ParametrizeRule) -> Diagnostic | None:
    """Return why a parameter cannot be stored otherwise, None if it can."""
    if row.module is None:
        message = f"`{row.name}` is held by a block, and a parametrisation is one of a layer"
        help = "put the tensor into a layer, or compute with it in the program"
        return Diagnostic("bad-parametrization", message, rule.span, help=help)
    if isinstance(row.module, ParametrizationList):
        message = f"`{row.name}` stands for a parameter already, as its layer has it"
        return Diagnostic("bad-parametrization", message, rule.span)
    if isinstance(row.module, nn.RNNBase):
        message = f"`{row.name}` is kept by its layer under another name too"
        help = "a cell, such as `LSTMCell`, can be parametrised"
        return Diagnostic("bad-parametrization", message, rule.span, help=help)
    if rule.type.name == "orthogonal" and row.tensor.dtype in HALVES:
        message = f"`{row.name}` is in {str(row.tensor.dtype).removeprefix('torch.')}"
        note = "torch makes orthogonal matrices in float32 and float64"
        return Diagnostic("bad-parametrization", message, rule.value.place, notes=(note,))
    return None
