"""Evaluation of a spec's expressions: a small, bounded interpreter over `ast` nodes.

Here it works on plain values, for compile-time expressions. `compiler.infer.interpreter` teaches it tensors.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from spec_schema.bounds import bindings, failure, kind, problem, would_be_too_large
from spec_schema.budget import Budget
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.grammar import Expression, Source
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.suggest import did_you_mean
from spec_schema.unknown_names import unknown_value


def make_divisible(value: float, divisor: int) -> int:
    """Round to a multiple of `divisor`, at least one of it, and down by 10 % at most: as MobileNet rounds widths."""
    if type(divisor) is not int or divisor < 1:
        raise ValueError(f"the divisor is a whole number from 1, and this is {divisor!r}")
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log": math.log,
    "len": len,
    "range": range,
    "sum": sum,
    "int": int,
    "float": float,
    "zip": zip,
    "enumerate": enumerate,
    "reversed": reversed,
    "make_divisible": make_divisible,
}

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Invert: "~",
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}


T = TypeVar("T")
_ITEMS_PER_STEP = 100


class Evaluator:
    """Evaluates the nodes of one source text over `names`."""

    functions: Mapping[str, Callable[..., Any]] = FUNCTIONS

    def __init__(
        self,
        source: Source,
        names: Mapping[str, object],
        limits: Limits = DEFAULT_LIMITS,
        budget: Budget | None = None,
    ) -> None:
        self.source = source
        self.names: dict[str, object] = dict(names)
        self.limits = limits
        self.budget = budget or Budget(limits.evaluation_steps)

    def value(self, node: ast.AST) -> Any:
        """Return the value of an expression node."""
        self.budget.spend(self.source, node)
        method = getattr(self, f"_value_{type(node).__name__}", None)
        if method is None:
            raise refuse(
                "not-in-language", f"`{type(node).__name__}` has no value here", self.source.span(node)
            )
        return method(node)

    # What a subclass may teach it.

    def truth(self, node: ast.AST, value: object) -> bool:
        """Return the truth of a value."""
        return bool(value)

    def apply(self, node: ast.AST, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Apply an operator, and report where it fails."""
        return self.compute(node, what, function, function, arguments)

    def compute(
        self, node: ast.AST, what: str, known: object, run: Callable[..., Any], arguments: Sequence[Any]
    ) -> Any:
        """Run `run`, which does what the function `known` does, if the result stays within bounds."""
        if would_be_too_large(known, arguments, self.limits):
            notes = bindings(node, self.names)
            raise refuse(
                "integer-range", "the result would be too large", self.source.span(node), notes=notes
            )
        try:
            result = run(*arguments)
        except (TypeError, ValueError, ArithmeticError, IndexError, KeyError) as error:
            message = failure(what, error, arguments)
            notes = bindings(node, self.names)
            raise refuse("evaluation", message, self.source.span(node), notes=notes) from None
        return self.bounded(node, result)

    def bounded(self, node: ast.AST, result: T) -> T:
        """Return a result, or refuse it if it is too large; a large one costs more steps."""
        found = problem(result, self.limits)
        if found:
            raise refuse(*found, self.source.span(node), notes=bindings(node, self.names))
        if isinstance(result, str | list | tuple):
            self.budget.left -= len(result) // _ITEMS_PER_STEP
        return result

    def call(self, node: ast.Call) -> Any:
        """Call one of the compile-time functions."""
        if not isinstance(node.func, ast.Name):
            raise refuse(
                "unknown-function",
                "only a function by its name can be called here",
                self.source.span(node.func),
            )
        name = node.func.id
        function = self.functions.get(name)
        if function is None:
            near = did_you_mean(name, self.functions)
            raise refuse(
                "unknown-function",
                f"there is no compile-time function `{name}`",
                self.source.span(node.func),
                notes=() if near else (f"functions: {', '.join(sorted(self.functions))}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        arguments = [self.value(argument) for argument in node.args]
        keywords = {k.arg: self.value(k.value) for k in node.keywords if k.arg}
        return self.compute(node, name, function, lambda *a: _listed(function(*a, **keywords)), arguments)

    def attribute(self, node: ast.Attribute) -> Any:
        raise refuse("unknown-attribute", "a compile-time value has no attributes", self.source.span(node))

    def unknown_name(self, node: ast.Name) -> Exception:
        return SpecError([unknown_value(self.source, node, self.names, FUNCTIONS)])

    # One method for each kind of expression.

    def _value_Constant(self, node: ast.Constant) -> Any:
        return node.value

    def _value_Name(self, node: ast.Name) -> Any:
        if node.id not in self.names:
            raise self.unknown_name(node)
        return self.names[node.id]

    def _value_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        return self.apply(node, SYMBOLS[type(node.op)], BINARY[type(node.op)], left, right)

    def _value_UnaryOp(self, node: ast.UnaryOp) -> Any:
        operand = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not self.truth(node.operand, operand)
        if isinstance(node.op, ast.USub) and isinstance(operand, float) and math.isinf(operand):
            return -operand  # `inf` is no number of a spec, but a constant of torch, and so is `-inf`
        return self.apply(node, SYMBOLS[type(node.op)], UNARY[type(node.op)], operand)

    def _value_BoolOp(self, node: ast.BoolOp) -> Any:
        stop_at = isinstance(node.op, ast.Or)
        result: Any = None
        for operand in node.values:
            result = self.value(operand)
            if self.truth(operand, result) is stop_at:
                return result
        return result

    def _value_Compare(self, node: ast.Compare) -> Any:
        left = self.value(node.left)
        result: Any = True
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            result = self.apply(node, SYMBOLS[type(op)], COMPARISONS[type(op)], left, right)
            if len(node.ops) > 1 and not self.truth(node, result):
                return result
            left = right
        return result

    def _value_IfExp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.truth(node.test, self.value(node.test)) else node.orelse)

    def _value_Subscript(self, node: ast.Subscript) -> Any:
        value, index = self.value(node.value), self.value(node.slice)
        return self.apply(node, "[]", operator.getitem, value, index)

    def _value_Slice(self, node: ast.Slice) -> slice:
        bounds = (node.lower, node.upper, node.step)
        return slice(*(None if bound is None else self.value(bound) for bound in bounds))

    def _value_Tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return self.bounded(node, tuple(self._elements(node.elts)))

    def _value_List(self, node: ast.List) -> list[Any]:
        return self.bounded(node, list(self._elements(node.elts)))

    def _elements(self, nodes: list[ast.expr]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self.items(node.value, self.value(node.value))
            else:
                yield self.value(node)

    def _value_Dict(self, node: ast.Dict) -> dict[str, Any]:
        result = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                raise refuse(
                    "not-in-language", "the keys of a dict are texts", self.source.span(key or value)
                )
            result[key.value] = self.value(value)
        return self.bounded(node, result)

    def _value_ListComp(self, node: ast.ListComp) -> list[Any]:
        results: list[Any] = []
        saved = dict(self.names)
        self._comprehend(node, 0, results)
        self.names.clear()
        self.names.update(saved)
        return self.bounded(node, results)

    def _comprehend(self, node: ast.ListComp, depth: int, results: list[Any]) -> None:
        if depth == len(node.generators):
            results.append(self.value(node.elt))
            return
        generator = node.generators[depth]
        for item in self.items(generator.iter, self.value(generator.iter)):
            self.bind(generator.target, item)
            if all(self.truth(test, self.value(test)) for test in generator.ifs):
                self._comprehend(node, depth + 1, results)

    def _value_Call(self, node: ast.Call) -> Any:
        return self.call(node)

    def _value_Attribute(self, node: ast.Attribute) -> Any:
        return self.attribute(node)

    # Binding and iterating.

    def items(self, node: ast.AST, value: Any) -> list[Any]:
        """Return the items that a loop or a `*` goes over."""
        if isinstance(value, list | tuple | range):
            for _ in value:
                self.budget.spend(self.source, node)
            return list(value)
        raise refuse(
            "not-iterable",
            f"{kind(value)} has no items to go over",
            self.source.span(node),
            help=f"go over `range({value})`" if isinstance(value, int) else "go over a list or `range(...)`",
        )

    def bind(self, target: ast.AST, value: Any) -> None:
        """Bind a name, or a tuple of names, to a value."""
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            return
        if not isinstance(target, ast.Tuple | ast.List):
            raise refuse("changed-in-place", "only a name can be bound", self.source.span(target))
        parts = self.unpack(target, value)
        for part, item in zip(target.elts, parts, strict=True):
            self.bind(part, item)

    def unpack(self, target: ast.Tuple | ast.List, value: Any) -> list[Any]:
        """Return the parts of a value for a tuple of targets."""
        parts = self.items(target, value)
        if len(parts) != len(target.elts):
            raise refuse(
                "unpack-count", f"{len(target.elts)} names for {len(parts)} values", self.source.span(target)
            )
        return parts


def _listed(value: Any) -> Any:
    """Turn the lazy results of `zip`, `enumerate` and `reversed` into lists."""
    return (
        list(value)
        if isinstance(value, zip | enumerate)
        or type(value).__name__.endswith("reverseiterator")
        or isinstance(value, reversed)
        or type(value).__name__ == "range_iterator"
        else value
    )


def evaluate(expression: Expression, names: Mapping[str, object], limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return the value of a compile-time expression over `names`.

    Raises:
        SpecError: a name or function is unknown, or the result is out of bounds.
    """
    return Evaluator(expression, names, limits).value(expression.tree)
