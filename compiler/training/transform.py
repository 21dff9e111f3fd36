"""What is done to each item before it goes into a batch: a program over its fields, and the mode."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.infer.context import Context
from compiler.infer.interpreter import Interpreter
from compiler.infer.statements import result_of
from compiler.program import Scope
from compiler.resolve.programs import MODE
from compiler.training.objective import function_module, name_problems
from spec_schema.budget import Budget
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.grammar import Expression, Program, parse_expression, parse_program
from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.walk import walk

TITLE = "transform"


@dataclass(frozen=True, eq=False)
class Transform:
    """A program that returns fields of an item with their new values."""

    source: Expression | Program
    fields: tuple[str, ...]
    """The fields of the batch, in the order of the arguments behind the mode."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The arguments of the function."""
        return (MODE, *self.fields)

    @property
    def place(self) -> Span:
        return self.source.place


def read_transform(scalar: Scalar, fields: Sequence[str], scope: Scope) -> Transform:
    """Return a transform whose every name is known, and which returns fields.

    Raises:
        SpecError: a name means nothing, or what is returned is no mapping from fields.
    """
    text = scalar.text.strip()
    is_program = "\n" in text or text.startswith("return")
    source = parse_program(scalar) if is_program else parse_expression(scalar)
    transform = Transform(source, tuple(fields))
    problems = name_problems(source, transform.reads, scope)
    problems += [problem for value in _returned(source) for problem in _return_problems(transform, value)]
    if problems:
        raise SpecError(problems)
    return transform


def try_transform(
    context: Context, transform: Transform, scope: Scope, training: bool, values: Mapping[str, object]
) -> None:
    """Compute a transform step by step, so that an error has its exact place.

    Raises:
        SpecError: an operation refuses what it gets.
    """
    names = {**scope.variables, **values, MODE: training}
    budget = Budget(context.limits.evaluation_steps)
    result_of(transform.source, Interpreter(context, transform.source, names, {}, {}, context.limits, budget))


def transform_function(transform: Transform, scope: Scope, context: Context) -> ast.Module:
    """Return a module with the function of a transform, which was tried before in the same context."""
    return function_module([(TITLE, (transform.source,), transform.reads)], scope, context)


def _returned(source: Expression | Program) -> Iterator[ast.expr]:
    if isinstance(source, Expression):
        yield source.tree
        return
    for node in (each for root in source.roots for each in walk(root)):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value


def _return_problems(transform: Transform, value: ast.expr) -> Iterator[Diagnostic]:
    source = transform.source
    if not isinstance(value, ast.Dict) or not all(isinstance(key, ast.Constant) for key in value.keys):
        yield Diagnostic(
            "bad-transform",
            "a transform returns fields of the batch by their names",
            source.span(value),
            help=f"return a mapping: `return {{'{transform.fields[0]}': ...}}`" if transform.fields else None,
        )
        return
    for key in value.keys:
        assert isinstance(key, ast.Constant)
        if key.value not in transform.fields:
            name = str(key.value)
            near = did_you_mean(name, transform.fields)
            yield Diagnostic(
                "missing-field",
                f"the batch has no field `{name}`",
                source.span(key),
                notes=(f"fields: {', '.join(transform.fields) or 'none'}",),
                help=f"did you mean `{near}`?" if near else None,
            )
