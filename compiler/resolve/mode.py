"""Operations that drop values follow the mode of the module, as the layers of the same names do."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from compiler.catalogue.operation_table import MODE_ARGUMENTS, RATE, TRAINING
from compiler.resolve.programs import MODE, ProgramNames
from spec_schema.diagnostics import Diagnostic
from spec_schema.grammar import Program, Source
from spec_schema.walk import walk

IsOperation = Callable[[str], bool]
Node = TypeVar("Node", bound=ast.AST)


def follow_mode(program: Program, names: ProgramNames, problems: list[Diagnostic]) -> Program:
    """Return a program whose operations ask for the mode where their calls do not give it.

    `dropout(x)` gets `training=training`, and a rate of dropout becomes `rate if training else 0.0`. Where the
    block gives the name of the mode to another value, such a call is a problem.
    """
    if MODE in names.own():
        problems.extend(mode_problems(program, program.body, names))
        return program
    follow = _FollowMode(_is_operation(program.body, names))
    if not any(_followers(program.body, follow.is_operation)):
        return program
    return replace(program, body=tuple(follow.visit(copy.deepcopy(each)) for each in program.body))


def mode_problems(source: Source, roots: Iterable[ast.AST], names: ProgramNames) -> list[Diagnostic]:
    """Return what asks for the mode where it has no value: the mode itself, and calls that would follow it."""
    roots = list(roots)
    nodes = [n for root in roots for n in walk(root) if isinstance(n, ast.Name) and n.id == MODE]
    asked = [] if MODE in names.own() else [node for node in nodes if isinstance(node.ctx, ast.Load)]
    message = "the mode of the model has no value here"
    return [
        *(Diagnostic("unknown-name", message, source.span(node)) for node in asked),
        *(_unknown(source, call) for call in _followers(roots, _is_operation(roots, names))),
    ]


def _unknown(source: Source, call: ast.Call) -> Diagnostic:
    name = ast.unparse(call.func)
    rate = MODE_ARGUMENTS[name][0] == RATE
    return Diagnostic(
        "unknown-mode",
        f"`{name}` follows the mode of the model, which has no value here",
        source.span(call),
        help=f"leave `{RATE}` out" if rate else f"say the mode: `{TRAINING}=True`, or `{TRAINING}=False`",
    )


def _is_operation(roots: Iterable[ast.AST], names: ProgramNames) -> IsOperation:
    """Return a function that says whether a name is that of an operation of torch which follows the mode."""
    stored = {
        n.id for r in roots for n in walk(r) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    hidden = {*stored, *names.layers, *names.scope.plugins.operations}  # no other value can be called
    return lambda name: name in MODE_ARGUMENTS and name not in hidden


def _followers(roots: Iterable[ast.AST], is_operation: IsOperation) -> Iterator[ast.Call]:
    """Yield the calls of operations that follow the mode, in the order of the text."""
    calls = [n for root in roots for n in walk(root) if isinstance(n, ast.Call)]
    for call in sorted(calls, key=lambda n: (n.lineno, n.col_offset)):
        if isinstance(call.func, ast.Name) and is_operation(call.func.id) and leaves_mode_open(call):
            yield call


def leaves_mode_open(call: ast.Call) -> bool:
    """Return whether the mode decides what a call does, and the call does not give it."""
    assert isinstance(call.func, ast.Name)
    value = _mode_argument(call)
    if MODE_ARGUMENTS[call.func.id][0] == TRAINING:
        return value is None
    never = value is None or (isinstance(value, ast.Constant) and value.value == 0)
    return not never and not any(isinstance(n, ast.Name) and n.id == MODE for n in walk(value or call))


def _mode_argument(call: ast.Call) -> ast.expr | None:
    """Return the argument of a call that says the mode, or the rate."""
    assert isinstance(call.func, ast.Name)
    argument, at = MODE_ARGUMENTS[call.func.id]
    named = next((k.value for k in call.keywords if k.arg == argument), None)
    return call.args[at] if at < len(call.args) else named


class _FollowMode(ast.NodeTransformer):
    """Writes the mode into calls. What it writes has a place of its own, of no width, behind what was there."""

    def __init__(self, is_operation: IsOperation) -> None:
        self.is_operation = is_operation

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if not self.is_operation(name) or not leaves_mode_open(node):
            return node
        mode = _behind(node, ast.Name(MODE, ast.Load()))
        if MODE_ARGUMENTS[name][0] == TRAINING:
            node.keywords.append(_behind(node, ast.keyword(TRAINING, mode)))
            return node
        rate = _mode_argument(node)
        assert rate is not None
        followed = ast.copy_location(ast.IfExp(mode, rate, _behind(node, ast.Constant(0.0))), rate)
        node.args = [followed if each is rate else each for each in node.args]
        for keyword in node.keywords:
            keyword.value = followed if keyword.value is rate else keyword.value
        return node


def _behind(place: ast.expr, node: Node) -> Node:
    """Give a node the place behind another one."""
    line, column = place.end_lineno or place.lineno, place.end_col_offset or place.col_offset
    for part in walk(node):
        part.lineno = part.end_lineno = line  # type: ignore[attr-defined]
        part.col_offset = part.end_col_offset = column  # type: ignore[attr-defined]
    return node
