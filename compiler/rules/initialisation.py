"""Initialisers as expressions: one evaluator, which the compiler runs without values and the runtime with them."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from compiler.catalogue.initializer_table import (
    INITIALIZER_ARGUMENTS,
    RANDOM_INITIALIZERS,
    TRANSFORMATION_ARGUMENTS,
    argument_problem,
)
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operation_table import STATISTICS
from compiler.catalogue.operations import operation, signature
from compiler.infer.calls import check_arguments, check_signature
from compiler.infer.reasons import refusal
from compiler.infer.state_updates import check_statistics
from compiler.rules.checkpoint_call import Surgery, bind_arguments, read_surgery
from spec_schema.bounds import kind
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.evaluate import FUNCTIONS, Evaluator
from spec_schema.grammar import Expression
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import unknown_argument
from spec_schema.walk import walk

MIXTURE = "mixture"
CHECKPOINT = "checkpoint"
COPY = "copy"
DRAWN = "w"
SPECIAL = (MIXTURE, CHECKPOINT, COPY, DRAWN)
NUMBERS: Mapping[str, float] = {"pi": math.pi, "inf": math.inf}
FIXED = frozenset(INITIALIZER_ARGUMENTS) - RANDOM_INITIALIZERS
"""The initialisers that draw nothing."""


class Source(Protocol):
    """Where the values come from. `branch` tells the draws of one expression apart."""

    @property
    def guesses(self) -> bool:
        """Whether the shapes of checkpoints are not known yet."""

    def draw(self, name: str, arguments: Mapping[str, Any], branch: Sequence[int]) -> Tensor: ...

    def mix(self, parts: Sequence[tuple[float, Callable[[], Tensor]]], branch: Sequence[int]) -> Tensor: ...

    def checkpoint(self, surgery: Surgery) -> Tensor: ...

    def transform(self, name: str, tensor: Tensor, arguments: Mapping[str, Any]) -> Tensor: ...


class InitEvaluator(Evaluator):
    """Evaluates one initialiser expression for one tensor."""

    def __init__(
        self,
        expression: Expression,
        names: Mapping[str, object],
        shape: tuple[int, ...],
        source: Source,
        registered: Mapping[str, Callable[..., Any]],
    ) -> None:
        super().__init__(expression, names)
        self.shape = shape
        self.draws = source
        self.registered = registered
        nodes = list(walk(expression.tree))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        called = {id(node.func) for node in calls}
        self.nodes = [node for node in nodes if self._is_draw(node) and id(node) not in called]
        mixtures = [node for node in calls if self._is_mixture(node)]
        self.random = [n for n in (*self.nodes, *mixtures) if self._name_of(n) not in FIXED]
        """What needs random numbers: where there are several of them, each has a branch of its own."""
        self.drawn: dict[int, Tensor] = {}
        self.root = expression.tree
        self.guesses = source.guesses and reads_checkpoint(expression)
        """Whether what fails may go well with the shapes that are in the files."""
        self.under_way: list[ast.AST] = []
        """The draws whose arguments are being evaluated."""

    def result(self) -> Any:
        """Return the value of the whole expression: a tensor, or a number."""
        return self.value(self.root)

    def apply(self, node: ast.AST, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return super().apply(node, what, function, *arguments)
        except (RuntimeError, AttributeError, AssertionError, SpecError) as error:
            if self.guesses and (_reads(node) or any(isinstance(each, Tensor) for each in arguments)):
                return torch.empty(self.shape)
            if isinstance(error, SpecError):
                raise
            message = refusal(f"`{what}`", error, arguments)
            raise refuse("bad-initializer", message, self.source.span(node)) from None

    def truth(self, node: ast.AST, value: object) -> bool:
        if isinstance(value, Tensor):
            message = "drawn values are neither true nor false"
            help = "choose by value: `where(abs(w) >= 5, w, 0)`"
            raise refuse("ambiguous-truth", message, self.source.span(node), help=help)
        return bool(value)

    def _name_of(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Call):
            node = node.func
        return node.id if isinstance(node, ast.Name) else None

    def _is_initializer(self, name: str | None) -> bool:
        return name in INITIALIZER_ARGUMENTS or name in self.registered

    def _is_mixture(self, node: ast.Call) -> bool:
        return self._name_of(node) == MIXTURE

    def _is_draw(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call | ast.Name) and self._is_initializer(self._name_of(node))

    def _value_Name(self, node: ast.Name) -> Any:
        if node.id == DRAWN and DRAWN not in self.names:
            return self._first_draw(node)
        if node.id not in self.names and self._is_initializer(node.id):
            return self._draw(node, node.id, [], {})
        if node.id not in self.names and node.id in NUMBERS:
            return NUMBERS[node.id]
        return super()._value_Name(node)

    def _first_draw(self, node: ast.Name) -> Tensor:
        if not self.nodes:
            raise refuse(
                "unknown-name",
                "`w` stands for drawn values, and nothing is drawn here",
                self.source.span(node),
                help="draw them first: `uniform(-10, 10) * (abs(w) >= 5)`",
            )
        first = min(
            (n for n in self.nodes if isinstance(n, ast.Call | ast.Name)),
            key=lambda n: (n.lineno, n.col_offset),
        )
        if first in self.under_way:
            message = "`w` stands for drawn values, and cannot say how they are drawn"
            raise refuse("bad-initializer", message, self.source.span(node))
        self.under_way.append(first)
        value: Tensor = self.value(first)
        self.under_way.pop()
        return value

    def unknown_name(self, node: ast.Name) -> Exception:
        known = [*self.names, *INITIALIZER_ARGUMENTS, *self.registered, *SPECIAL]
        near = did_you_mean(node.id, known)
        return refuse(
            "unknown-initializer",
            f"there is no initializer or value `{node.id}`",
            self.source.span(node),
            notes=() if near else (f"initializers: {', '.join([*INITIALIZER_ARGUMENTS, *self.registered])}",),
            help=f"did you mean `{near}`?" if near else None,
        )

    def call(self, node: ast.Call) -> Any:
        name = self._name_of(node)
        if name is None:
            raise refuse(
                "unknown-function",
                "only an initializer or an operation can be called here",
                self.source.span(node.func),
            )
        if name == MIXTURE:
            return self._mixture(node)
        if name == COPY:
            return self._copy(node)
        arguments = [self.value(argument) for argument in node.args]
        keywords = {k.arg: self.value(k.value) for k in node.keywords if k.arg}
        if name == CHECKPOINT:
            bound = bind_arguments(self.source, node, arguments, keywords)
            return self.draws.checkpoint(read_surgery(self.source, node, bound))
        if self._is_initializer(name):
            return self._draw(node, name, arguments, keywords)
        if name in TRANSFORMATION_ARGUMENTS:
            return self._transform(node, name, arguments, keywords)
        return self._operation(node, name, arguments, keywords)

    def _copy(self, node: ast.Call) -> Tensor:
        """Check the form of what takes the values of another tensor: nothing is computed."""
        self.copied_name(node)
        return torch.empty(self.shape)

    def copied_name(self, node: ast.Call) -> str:
        """Return what a call of `copy` names."""
        if node is not self.root:
            message = "`copy` is a whole initializer, and no part of an expression"
            raise refuse("bad-initializer", message, self.source.span(node))
        if len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
            message = "`copy` takes the name of a layer or of a tensor"
            help = "write `copy('student')`"
            raise refuse("bad-initializer", message, self.source.span(node), help=help)
        name = self.value(node.args[0])
        if not isinstance(name, str):
            message = f"`copy` takes a name, and this is {kind(name)}"
            raise refuse("bad-initializer", message, self.source.span(node.args[0]))
        return name

    def _operation(self, node: ast.Call, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        tensors = any(isinstance(value, Tensor) for value in arguments)
        if name in FUNCTIONS and not tensors:
            function = FUNCTIONS[name]
            return self.compute(node, name, function, lambda *a: function(*a, **keywords), arguments)
        if name not in OPERATIONS:
            raise self.unknown_name(node.func) if isinstance(node.func, ast.Name) else AssertionError
        check_signature(self.source, node, signature(name).check(len(arguments), keywords), f"`{name}`")
        check_arguments(self.source.span(node), name, arguments, keywords)
        if name in STATISTICS:
            check_statistics(self.source, frozenset(), node, name, arguments, keywords)
        return self.apply(node, name, lambda *a: operation(name)(*a, **keywords), *arguments)

    def _transform(self, node: ast.Call, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Tensor:
        names = list(TRANSFORMATION_ARGUMENTS[name])
        bound = {**dict(zip(names, arguments, strict=False)), **keywords}
        tensor = bound.pop(names[0], None)
        if not isinstance(tensor, Tensor) or set(bound) != set(names[1:]) or len(arguments) > len(names):
            message = f"`{name}` takes drawn values and {', '.join(f'`{each}`' for each in names[1:])}"
            raise refuse("bad-initializer", message, self.source.span(node))
        return self.draws.transform(name, tensor, bound)

    def _draw(self, node: ast.AST, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Tensor:
        if id(node) in self.drawn:
            return self.drawn[id(node)]
        bound = self._bind(node, name, arguments, keywords)
        try:
            self.drawn[id(node)] = self.draws.draw(name, bound, self._branch(node))
        except ValueError as error:
            raise refuse(
                "bad-initializer", str(error).replace(name, f"`{name}`", 1), self.source.span(node)
            ) from None
        return self.drawn[id(node)]

    def _bind(
        self, node: ast.AST, name: str, arguments: list[Any], keywords: dict[str, Any]
    ) -> dict[str, Any]:
        if name in self.registered:
            self._check_registered(node, name, arguments, keywords)
            return {**{str(k): v for k, v in enumerate(arguments)}, **keywords}
        call = node if isinstance(node, ast.Call) else ast.Call(ast.Name(name), [], [])
        names = list(INITIALIZER_ARGUMENTS[name])
        if len(arguments) > len(names):
            plural = "" if len(names) == 1 else "s"
            message = f"`{name}` takes {len(names) or 'no'} argument{plural}"
            place = self.source.span(call.args[len(names)])
            raise refuse("too-many-arguments", message, place, notes=self._takes(names))
        bound = {**dict(zip(names, arguments, strict=False)), **keywords}
        unknown = next((key for key in bound if key not in names), None)
        if unknown is not None:
            keyword = next(each for each in call.keywords if each.arg == unknown)
            place = self.source.span(keyword).part(0, len(unknown))
            raise SpecError([unknown_argument(f"`{name}`", unknown, names, place)])
        problem = argument_problem(name, bound)
        if problem:
            message = f"`{name}` refuses this: {problem.removeprefix(f'{name}: ')}"
            raise refuse("bad-initializer", message, self.source.span(node))
        return bound

    def _check_registered(
        self, node: ast.AST, name: str, arguments: list[Any], keywords: dict[str, Any]
    ) -> None:
        takes = inspect.signature(self.registered[name])
        try:
            takes.bind(self.shape, *arguments, generator=None, **keywords)
        except TypeError as error:
            message = f"`{name}` refuses this: {error}"
            raise refuse("bad-initializer", message, self.source.span(node)) from None

    def _takes(self, names: Sequence[str]) -> tuple[str, ...]:
        return (f"arguments: {', '.join(names) or 'none'}",)

    def _mixture(self, node: ast.Call) -> Tensor:
        parts = []
        for part in node.args:
            if not (isinstance(part, ast.List | ast.Tuple) and len(part.elts) == 2):
                raise refuse(
                    "bad-initializer",
                    "a part of a mixture is `[weight, initializer]`",
                    self.source.span(part),
                )
            weight = self.value(part.elts[0])
            if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
                message = f"a weight is a number of 0 or more, and this is {kind(weight)}"
                raise refuse("bad-initializer", message, self.source.span(part.elts[0]))
            parts.append((weight, lambda n=part.elts[1]: self._full(n, self.value(n))))
        if abs(sum(weight for weight, _ in parts) - 1) > 1e-6:
            raise refuse(
                "bad-initializer",
                f"the weights of a mixture sum to {sum(w for w, _ in parts):g}, not 1",
                self.source.span(node),
            )
        mixed: Tensor = self.apply(node, MIXTURE, lambda: self.draws.mix(parts, self._branch(node)))
        return mixed

    def _branch(self, node: ast.AST) -> list[int]:
        return [self.random.index(node)] if len(self.random) > 1 and node in self.random else []

    def _full(self, node: ast.AST, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            message = f"a part of a mixture is an initializer or a number, and this is {kind(value)}"
            raise refuse("bad-initializer", message, self.source.span(node))
        return torch.full(self.shape, float(value))


def value_problem(value: float, dtype: torch.dtype) -> str | None:
    """Return why a tensor cannot hold a number, or None if it can."""
    if dtype.is_floating_point or dtype.is_complex:
        fits = not math.isfinite(value) or abs(value) <= torch.finfo(dtype).max
    else:
        low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
        fits = low <= value <= high and value == int(value)
    return None if fits else f"a tensor of {str(dtype).removeprefix('torch.')} cannot hold {value!r}"


def reads_checkpoint(expression: Expression) -> bool:
    """Return whether an initialiser reads a checkpoint."""
    return CHECKPOINT in expression.names


def computes_with_checkpoint(expression: Expression) -> bool:
    """Return whether what an initialiser reads is a part of an expression, so that it may be of another shape."""
    tree = expression.tree
    is_call = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == CHECKPOINT
    return reads_checkpoint(expression) and not is_call


def _reads(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Name) and n.id == CHECKPOINT for n in walk(node))


def draws(expression: Expression, names: Mapping[str, object], registered: Mapping[str, object]) -> bool:
    """Return whether an initialiser draws values, so that they are others for another seed."""
    used = expression.names - names.keys()
    return not used.isdisjoint({MIXTURE, *RANDOM_INITIALIZERS, *registered})
