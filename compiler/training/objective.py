"""Expressions over the model's output and the batch: the loss, and what the metrics compare.

They use the operations that programs use. Each one is checked like a program, and becomes a Python function,
so that nothing is interpreted while the model trains.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.catalogue.operations import signature
from compiler.emit.bound import local_names
from compiler.emit.names import CALLED, EINOPS, Globals
from compiler.emit.programs import ProgramTranslator
from compiler.emit.syntax import dotted
from compiler.infer.calls import check_signature
from compiler.infer.context import Context
from compiler.infer.interpreter import Interpreter
from compiler.infer.statements import result_of
from compiler.infer.symbols import shape_text
from compiler.program import Scope
from compiler.resolve.mode import mode_problems
from compiler.resolve.programs import ProgramNames, check_program
from spec_schema.budget import Budget
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.evaluate import FUNCTIONS
from spec_schema.grammar import Expression, Program
from spec_schema.source import Span

OUTPUT = "output"
"""What the model returned."""


@dataclass(frozen=True, eq=False)
class Objective:
    """One or several values computed from the output and the batch. `title` names the Python function."""

    title: str
    sources: tuple[Expression | Program, ...]
    """One, or several expressions."""
    fields: tuple[str, ...]
    """The fields of the batch that it reads, in the order of their last use."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The arguments of the function."""
        return (OUTPUT, *self.fields)

    @property
    def place(self) -> Span:
        return self.sources[0].place


def read_objective(
    name: str, sources: Sequence[Expression | Program], fields: Iterable[str], scope: Scope
) -> Objective:
    """Return an objective whose every name is known.

    Raises:
        SpecError: a name means nothing, or an operation has no such argument.
    """
    known = list(fields)
    problems = [problem for each in sources for problem in name_problems(each, (OUTPUT, *known), scope)]
    if problems:
        raise SpecError(problems)
    used = sorted(_uses(sources, known), key=lambda use: use[1])
    last_first = dict.fromkeys(field for field, _ in reversed(used))
    return Objective(name, tuple(sources), tuple(reversed(last_first)))


def name_problems(source: Expression | Program, values: Sequence[str], scope: Scope) -> list[Diagnostic]:
    """Return what is wrong with the names of a program over some values, and with the calls in it."""
    inputs = frozenset(values)
    names = ProgramNames(inputs, {}, frozenset(), frozenset(scope.variables), scope)
    found = check_program(source, source.roots, names)
    found = [_with_values(problem, values) for problem in found]
    found.extend(mode_problems(source, source.roots, names))
    for node in _nodes(source):
        if not found and isinstance(node, ast.Call):
            found.extend(_signature_problem(source, node, inputs))
    return found


def _nodes(source: Expression | Program) -> Iterator[ast.AST]:
    return (node for root in source.roots for node in ast.walk(root))


def _with_values(problem: Diagnostic, values: Sequence[str]) -> Diagnostic:
    """Return a problem; that of an unknown name gets a note of the names that there are."""
    if problem.code != "unknown-name":
        return problem
    note = "values here: " + ", ".join(f"`{value}`" for value in values)
    return Diagnostic(problem.code, problem.message, problem.span, notes=(note,), help=problem.help)


def _signature_problem(
    source: Expression | Program, node: ast.Call, inputs: frozenset[str]
) -> Iterable[Diagnostic]:
    function = node.func
    if not isinstance(function, ast.Name) or function.id not in OPERATIONS or function.id in FUNCTIONS:
        return
    if function.id in inputs:
        yield Diagnostic("not-callable", f"`{function.id}` cannot be called", source.span(function))
        return
    keywords = [keyword.arg for keyword in node.keywords if keyword.arg]
    spread = any(isinstance(argument, ast.Starred) for argument in node.args)
    problem = signature(function.id).check(0 if spread else len(node.args), keywords)
    try:
        check_signature(source, node, problem, f"`{function.id}`")
    except SpecError as error:
        yield from error.diagnostics


def _uses(
    sources: Sequence[Expression | Program], fields: Sequence[str]
) -> Iterable[tuple[str, tuple[int, ...]]]:
    for number, source in enumerate(sources):
        for node in _nodes(source):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in fields:
                yield node.id, (number, node.lineno, node.col_offset)


def try_objective(
    context: Context, objective: Objective, scope: Scope, values: Mapping[str, object]
) -> list[Any]:
    """Return the values of an objective, computed step by step, so that an error has its exact place.

    Raises:
        SpecError: an operation refuses what it gets.
    """
    results = []
    for source in objective.sources:
        names = {**scope.variables, **values}
        budget = Budget(context.limits.evaluation_steps)
        run = Interpreter(context, source, names, {}, {}, context.limits, budget)
        results.append(result_of(source, run))
    return results


def check_scalar(loss: Objective, value: Any) -> None:
    """Refuse a loss that is not one number with a gradient."""
    place = loss.place
    if not isinstance(value, Tensor):
        raise refuse("loss-not-scalar", f"the loss is a {type(value).__name__}, not a tensor", place)
    if value.ndim:
        raise refuse(
            "loss-not-scalar",
            f"the loss has the shape {shape_text(value)}, and is to be one number",
            place,
            help="reduce it: `(...).mean()`",
        )
    if not value.is_floating_point():
        dtype = str(value.dtype).removeprefix("torch.")
        raise refuse("loss-not-scalar", f"the loss is {dtype}, which has no gradient", place)


def objective_functions(objectives: Sequence[Objective], scope: Scope, context: Context) -> ast.Module:
    """Return a module with a function for each objective; each was tried before, in the same context."""
    return function_module([(each.title, each.sources, each.reads) for each in objectives], scope, context)


def function_module(
    wanted: Sequence[tuple[str, Sequence[Expression | Program], Sequence[str]]],
    scope: Scope,
    context: Context,
) -> ast.Module:
    """Return a module with a function for each title, what it computes, and its arguments."""
    nodes = [node for _, sources, _ in wanted for source in sources for node in _nodes(source)]
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = Globals(called={each.id for each in calls if isinstance(each, ast.Name)} & (CALLED | EINOPS))
    names.reserve(scope.plugins.operations)
    functions = [_function(title, sources, reads, names, scope, context) for title, sources, reads in wanted]
    return ast.fix_missing_locations(ast.Module([*names.imports(), *functions], []))


def _function(
    title: str,
    sources: Sequence[Expression | Program],
    reads: Sequence[str],
    names: Globals,
    scope: Scope,
    context: Context,
) -> ast.stmt:
    device = dotted(f"{OUTPUT}.device") if OUTPUT in reads else None
    programs = [source for source in sources if isinstance(source, Program)]
    local = {*reads, *(name for program in programs for name in local_names(program.body))}
    translator = ProgramTranslator(
        names, scope.plugins, scope.variables, {}, local, device, context.call_kinds
    )
    body = [
        statement
        for each in programs
        for statement in (*translator.start(each.body, reads), *translator.body(each.body))
    ]
    arguments = [ast.arg(names.local(each)) for each in reads]
    values = [translator.translate(each.tree) for each in sources if isinstance(each, Expression)]
    if values:
        body.append(ast.Return(values[0] if len(values) == 1 else ast.Tuple(values, ast.Load())))
    signature_ = ast.arguments([], arguments, None, [], [], None, [])
    node = ast.FunctionDef(title, signature_, body, [], None)
    if "type_params" in ast.FunctionDef._fields:
        node.type_params = []  # type: ignore[attr-defined]
    return node
