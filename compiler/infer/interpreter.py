"""The expressions of programs, evaluated over meta tensors and layers."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from compiler.catalogue.operation_table import CONSTANTS, LIMITS, MODE_ARGUMENTS, STATISTICS
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.infer.arguments import constant
from compiler.infer.attributes import attributes_of, read
from compiler.infer.calls import (
    apply_operator,
    call_method,
    call_operation,
    check_arguments,
    check_no_layers,
    check_pieces,
    parts,
    stacks,
)
from compiler.infer.context import Context
from compiler.infer.join import disagreement
from compiler.infer.module_references import ModuleReference
from compiler.infer.problems import check_input_names
from compiler.infer.state_updates import check_statistics, check_update, is_view
from compiler.infer.states import BlockState, updated_in
from compiler.infer.values import Undecided, same_form, show, tensors_in
from compiler.infer.watched import call_watched
from compiler.resolve.mode import leaves_mode_open
from compiler.resolve.programs import MODE, NAMESPACES
from spec_schema.budget import Budget
from spec_schema.diagnostics import Label, SpecError, refuse
from spec_schema.evaluate import FUNCTIONS, Evaluator
from spec_schema.grammar import Source
from spec_schema.limits import Limits
from spec_schema.suggest import did_you_mean


class DependsOnData(Exception):
    """Raised where the truth of a value depends on data."""


class Interpreter(Evaluator):
    """Evaluates the expressions of a program. `cells` are the layers of the block, `tensors` those that it holds."""

    def __init__(
        self,
        engine: Context,
        source: Source,
        names: Mapping[str, object],
        cells: Mapping[str, ModuleReference],
        tensors: Mapping[str, Tensor],
        limits: Limits,
        budget: Budget,
    ) -> None:
        super().__init__(source, names, limits, budget)
        self.engine = engine
        self.cells = cells
        self.tensors = tensors
        self.updated: frozenset[str] = frozenset()
        """Those of the tensors that the program may give new values."""
        self.reached: set[str] = set()
        self.has_data = True
        """Whether it stands for a run with data, which may go either way; else it is run as it is."""
        self.places: dict[str, ast.AST] = {}
        """Where each local name was bound last."""

    def bind(self, target: ast.AST, value: Any) -> None:
        if isinstance(target, ast.Name) and target.id in self.updated:
            buffer = self.tensors[target.id]
            check_update(self.source, target, buffer, value)
            if is_view(value, buffer):
                self.engine.call_kinds.note_state(target)
            return
        if isinstance(target, ast.Name):
            self.places[target.id] = target
        super().bind(target, value)

    def unpack(self, target: ast.Tuple | ast.List, value: Any) -> list[Any]:
        parts = self.items(target, value)
        if len(parts) != len(target.elts):
            raise refuse(
                "unpack-count",
                f"{len(target.elts)} names for {len(parts)} values",
                self.source.span(target),
                notes=(f"the value is {show(value)}",),
            )
        return parts

    def truth(self, node: ast.AST, value: object) -> bool:
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise refuse(
                    "ambiguous-truth",
                    f"a tensor of shape {show(value)} is neither true nor false",
                    self.source.span(node),
                    help="reduce it first: `.any()`, `.all()` or `.sum() > 1`",
                )
            if not self.has_data:
                raise self._looks_at_values(node)
            raise DependsOnData
        if type(value) is int:
            self.engine.note_condition(node, bool(value), (value, 0))
        return bool(value)

    def _looks_at_values(self, node: ast.AST) -> SpecError:
        return refuse(
            "undecided-value",
            "the value of a buffer is computed without a look at what a tensor holds",
            self.source.span(node),
            label="this is a tensor",
            help="choose between tensors: `where(condition, a, b)`; a condition on sizes may stay",
        )

    def _value_IfExp(self, node: ast.IfExp) -> Any:
        try:
            return super()._value_IfExp(node)
        except DependsOnData:
            first, second = self.value(node.body), self.value(node.orelse)
            if not same_form(first, second):
                ways = (node.body, first), (node.orelse, second)
                raise disagreement(self.source, node.test, "the value", *ways) from None
            return first

    def _value_BoolOp(self, node: ast.BoolOp) -> Any:
        try:
            return super()._value_BoolOp(node)
        except DependsOnData:
            values = [self.value(operand) for operand in node.values]  # none goes unchecked
            alike = all(same_form(values[0], value) for value in values)
            return values[0] if alike else torch.empty((), dtype=torch.bool)

    def _value_UnaryOp(self, node: ast.UnaryOp) -> Any:
        try:
            return super()._value_UnaryOp(node)
        except DependsOnData:
            return torch.empty((), dtype=torch.bool)

    def _value_Compare(self, node: ast.Compare) -> Any:
        try:
            return super()._value_Compare(node)
        except DependsOnData:
            for operand in node.comparators:
                self.value(operand)
            return torch.empty((), dtype=torch.bool)

    def _value_Name(self, node: ast.Name) -> Any:
        name = node.id
        if name in self.cells:
            self.reached.add(self.cells[name].name)
            return self.cells[name]
        if name in self.tensors:
            return self.tensors[name]
        if name in self.names:
            value = self.names[name]
            if isinstance(value, Undecided):
                raise refuse(
                    "undecided-value",
                    value.message,
                    self.source.span(node),
                    labels=(Label(value.place, "this depends on data"),),
                    help=value.help,
                )
            return value
        if name == MODE:
            self.engine.asked_mode = True
            return self.engine.training
        if name in CONSTANTS:
            return constant(name)
        raise self.unknown_name(node)

    def unknown_name(self, node: ast.Name) -> Exception:
        if node.id in OPERATIONS or node.id in FUNCTIONS:
            return refuse(
                "not-a-value",
                f"`{node.id}` is an operation, not a value",
                self.source.span(node),
                help=f"call it: `{node.id}(...)`",
            )
        return refuse(
            "unbound-name",
            f"`{node.id}` has no value yet",
            self.source.span(node),
            help="bind it before it is used",
        )

    def attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
            name = node.value.func.id
            if name in LIMITS and name not in self.names and name not in self.cells:
                return self._limit(node, node.value, name)
        value = self.value(node.value)
        if isinstance(value, ModuleReference):
            return self._member(node, value)
        if node.attr in attributes_of(value):
            return read(self.source, node, value)
        near = did_you_mean(node.attr, attributes_of(value))
        raise refuse(
            "unknown-attribute",
            f"{_what(value)} has no attribute `{node.attr}`",
            self.source.span(node),
            help=f"did you mean `{near}`?" if near else None,
        )

    def _member(self, node: ast.Attribute, owner: ModuleReference) -> Tensor | ModuleReference:
        """Return what a layer has. A tensor of a layer of this block is an attribute of an attribute of its class."""
        found = owner.member(node.attr, self.source.span(node))
        direct = isinstance(node.value, ast.Name) and node.value.id in self.cells
        changes = node.attr in updated_in(owner.state)
        if not (direct and isinstance(found, Tensor)):
            kind = "state_inside" if changes else owner.kind_of(node.attr)
            self.engine.call_kinds.note(self.source, node, kind)
        elif changes:
            self.engine.call_kinds.note_state(node)
        return found

    def _limit(self, node: ast.Attribute, call: ast.Call, name: str) -> float:
        """Return a limit of a dtype: `finfo(x.dtype).max`."""
        arguments, keywords = self._arguments(call)
        dtype = arguments[0] if len(arguments) == 1 and not keywords else None
        inexact = isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)
        if not isinstance(dtype, torch.dtype) or dtype == torch.bool or inexact != (name == "finfo"):
            takes = "a floating-point dtype" if name == "finfo" else "a dtype of whole numbers"
            message = f"`{name}` takes {takes}"
            help = f"write `{name}(x.dtype).{node.attr}`"
            raise refuse("argument-type", message, self.source.span(call), help=help)
        limit: float = getattr(getattr(torch, name)(dtype), node.attr)
        return limit

    def call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute):
            dotted = self._namespaced(function)
            if dotted:
                return self._operation(node, dotted)
            owner = self.value(function.value)
            if isinstance(owner, ModuleReference):
                return self._layer(node, self._member(function, owner))
            arguments, keywords = self._arguments(node)
            return call_method(self, node, function.attr, owner, arguments, keywords)
        if isinstance(function, ast.Name) and not self._is_bound(function.id):
            return self._operation(node, function.id)
        return self._layer(node, self.value(function))

    def _is_bound(self, name: str) -> bool:
        return name in self.cells or isinstance(self.names.get(name), ModuleReference)

    def _namespaced(self, function: ast.Attribute) -> str | None:
        owner = function.value
        if not isinstance(owner, ast.Name) or owner.id not in NAMESPACES:
            return None
        known = owner.id in self.names or owner.id in self.cells
        return None if known else f"{owner.id}.{function.attr}"

    def _arguments(self, node: ast.Call) -> tuple[list[Any], dict[str, Any]]:
        arguments = list(self._elements(node.args))
        return arguments, {k.arg: self.value(k.value) for k in node.keywords if k.arg}

    def _operation(self, node: ast.Call, name: str) -> Any:
        arguments, keywords = self._arguments(node)
        plugins = self.engine.plugins.operations
        if name in FUNCTIONS and not (name in OPERATIONS and _over_tensor(arguments)):
            return self._builtin(node, name, arguments, keywords)
        if name not in OPERATIONS and name not in plugins:
            raise self._not_callable(node, name)
        if name in MODE_ARGUMENTS and name not in plugins and leaves_mode_open(node):
            raise self._hides_operation(node, name)
        if name in STATISTICS and name not in plugins:
            check_statistics(self.source, self.updated, node, name, arguments, keywords)
        is_listed = stacks(name, arguments)
        self.engine.call_kinds.note(self.source, node, "stacking" if is_listed else "operation")
        return call_operation(self, node, name, arguments, keywords)

    def _builtin(self, node: ast.Call, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Call `len`, `range`, `zip` and their like, which also go over layers and tensors."""
        self.engine.call_kinds.note(self.source, node, "number")
        if name == "float" and arguments in (["inf"], ["-inf"]):
            return float(arguments[0])
        if name == "len" and isinstance(arguments[0], ModuleReference):
            return len(arguments[0].parts(self.source.span(node)))
        if name in ("zip", "enumerate", "reversed"):
            arguments = [
                self.items(node, a) if isinstance(a, ModuleReference | Tensor) else a for a in arguments
            ]
        if tensors_in(arguments) and name in ("int", "float", "round", "make_divisible"):
            raise refuse(
                "data-to-number",
                f"`{name}` would make a number of a tensor's data",
                self.source.span(node),
                help="keep it a tensor: operations take tensors",
            )
        function = FUNCTIONS[name]
        if tensors_in(arguments):
            return self.apply(node, name, lambda *a: _eager(function(*a, **keywords)), *arguments)
        return self.compute(node, name, function, lambda *a: _eager(function(*a, **keywords)), arguments)

    def _hides_operation(self, node: ast.Call, name: str) -> SpecError:
        """Return the refusal of an operation that would follow the mode, did the program not bind its name."""
        message = f"the local name `{name}` hides the operation `{name}`, which follows the mode of the model"
        place = self.source.span(node.func)
        return refuse("hidden-layer", message, place, help="give the value another name")

    def _not_callable(self, node: ast.Call, name: str) -> SpecError:
        value = self.names.get(name, self.tensors.get(name))
        return refuse(
            "not-callable", f"`{name}` is {_what(value)}, and cannot be called", self.source.span(node.func)
        )

    def _layer(self, node: ast.Call, value: Any) -> Any:
        if not isinstance(value, ModuleReference):
            raise refuse("not-callable", f"{_what(value)} cannot be called", self.source.span(node.func))
        is_block = isinstance(value.state, BlockState)
        self.engine.call_kinds.note(self.source, node, "block" if is_block else "layer")
        if isinstance(value.state, BlockState):
            check_input_names(self.source, node, value.name, value.state.definition)
        arguments, keywords = self.inputs(node, value)
        where = ast.unparse(node.func)
        return value.call(arguments, keywords, self.source.span(node), where)

    def inputs(self, node: ast.Call, cell: ModuleReference) -> tuple[list[Any], dict[str, Any]]:
        """Return the inputs that a call gives to a layer."""
        return self._arguments(node)

    def perform(
        self,
        node: ast.AST,
        what: str,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        """Call a function of torch for an operation, a method or an operator of the program."""
        if what not in self.engine.plugins.operations:
            check_arguments(partial(self.source.span, node), what, arguments, keywords)
        return self.watched(node, function, arguments, keywords)

    def watched(
        self,
        node: ast.AST,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        """Call a function of torch, which the clock can end."""
        place = partial(self.source.span, node)
        chosen = self.engine.chosen.call(function, arguments, keywords) if self.has_data else None
        if chosen is not None:
            return chosen[0]
        return call_watched(place, self.engine.trail.notes, function, arguments, keywords)

    def apply(self, node: ast.AST, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if function is operator.getitem and isinstance(arguments[0], ModuleReference):
            return arguments[0].index(arguments[1], self.source.span(node))
        identity = function in (operator.is_, operator.is_not)
        if not identity:
            layers = [each if isinstance(each, ModuleReference) else None for each in arguments]
            check_no_layers(self, parts(node), layers)
        if identity or not tensors_in(list(arguments)):
            value = super().apply(node, what, function, *arguments)
            if isinstance(node, ast.Compare):
                self.engine.note_condition(node, bool(value), arguments)
            return value
        return apply_operator(self, node, what, function, arguments)

    def items(self, node: ast.AST, value: Any) -> list[Any]:
        if isinstance(value, ModuleReference):
            return list(value.parts(self.source.span(node)))
        if isinstance(value, Tensor) and value.ndim:
            check_pieces(self, node, "a loop over this", value)
            return list(value.unbind())
        return super().items(node, value)


def _what(value: Any) -> str:
    """Return what kind of thing a value is."""
    if isinstance(value, Tensor):
        return f"a tensor {show(value)}"
    if isinstance(value, ModuleReference):
        return f"the layer {value.described()}"
    if value is None:
        return "`None`"
    return show(value)


def _over_tensor(arguments: Sequence[Any]) -> bool:
    """Return whether a call is one over tensors: `sum(x)`, not the `sum([x, y])` of Python."""
    return bool(tensors_in(arguments)) and not isinstance(arguments[0], list | tuple)


def _eager(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value
