"""Arguments of calls, evaluated: compile-time values, and recipes for layers."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from compiler.catalogue.operation_table import CONSTANTS
from compiler.infer.values import Recipe
from compiler.program import Argument, Call, Scope, ValueTree
from compiler.resolve.layer_calls import CallReader
from compiler.resolve.values import is_type
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.evaluate import Evaluator
from spec_schema.grammar import Expression
from spec_schema.limits import Limits


@cache
def constant(name: str) -> Any:
    """Return the constant of torch that a name of the table stands for."""
    return getattr(torch, CONSTANTS[name].removeprefix("torch."))


class ArgumentEvaluator(Evaluator):
    """Evaluates the arguments of a layer or block: a type, or a call of one, is a recipe."""

    def __init__(self, source: Expression, names: Mapping[str, object], scope: Scope, limits: Limits) -> None:
        super().__init__(source, names, limits)
        self.scope = scope
        self.expression = source

    def _value_Name(self, node: ast.Name) -> Any:
        if node.id not in self.names:
            if is_type(node.id, self.scope):
                return self._recipe(node)
            if node.id in CONSTANTS:
                return constant(node.id)
        return super()._value_Name(node)

    def call(self, node: ast.Call) -> Any:
        if (
            isinstance(node.func, ast.Name)
            and node.func.id not in self.names
            and is_type(node.func.id, self.scope)
        ):
            return self._recipe(node)
        return super().call(node)

    def _recipe(self, node: ast.expr) -> Recipe:
        problems: list[Diagnostic] = []
        call = CallReader(self.scope, set(self.names), set(), problems).read(self.expression.part(node))
        if problems:
            raise SpecError(problems)
        assert isinstance(call, Call)
        given = evaluate_arguments(call, self.names, self.limits)
        return Recipe(call, given.positional, given.keywords, given.places)


@dataclass(frozen=True)
class Given:
    """The evaluated arguments of a call, and where each one stands."""

    positional: tuple[object, ...]
    keywords: Mapping[str, object]
    places: Mapping[int | str, Argument] = field(default_factory=dict)


def evaluate_value(value: ValueTree, names: Mapping[str, object], scope: Scope, limits: Limits) -> Any:
    """Return the value of an argument."""
    if isinstance(value, Expression):
        return ArgumentEvaluator(value, names, scope, limits).value(value.tree)
    return [evaluate_value(part, names, scope, limits) for part in value]


def evaluate_arguments(call: Call, names: Mapping[str, object], limits: Limits) -> Given:
    """Return the evaluated arguments of a call.

    Raises:
        SpecError: with what is wrong with each of them.
    """
    positional: list[object] = []
    keywords: dict[str, object] = {}
    places: dict[int | str, Argument] = {}
    problems: list[Diagnostic] = []
    for argument in call.arguments:
        try:
            value = evaluate_value(argument.value, names, call.scope, limits)
        except SpecError as error:
            problems.extend(error.diagnostics)
            continue
        if argument.name is None:
            places[len(positional)] = argument
            positional.append(value)
        elif argument.name in keywords:
            problems.append(
                Diagnostic("duplicate-argument", f"`{argument.name}` is given twice", argument.span)
            )
        else:
            places[argument.name] = argument
            keywords[argument.name] = value
    if problems:
        raise SpecError(problems)
    return Given(tuple(positional), keywords, places)
