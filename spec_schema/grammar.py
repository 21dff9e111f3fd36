"""The expressions and programs of a spec: a strict subset of Python, read with `ast`, never evaluated as Python.

Reading checks the form alone: which kinds of statement and expression there are, and their size. What the
names mean is decided later, against closed tables.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from spec_schema.clock import check_time
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.forms import EXPRESSIONS, STATEMENTS, form_problem, outside_loops, passed_over
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.scalars import Scalar
from spec_schema.source import Span
from spec_schema.syntax import parse
from spec_schema.walk import walk


@dataclass(frozen=True, eq=False)
class Source:
    """Parsed text that can say where each of its nodes stands in the file."""

    scalar: Scalar
    text: str
    start: int
    """Offset of `text` in the scalar's decoded text."""

    def span(self, node: ast.AST) -> Span:
        """Return the place of a node of this text."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        end_line = getattr(node, "end_lineno", None) or line
        end_column = getattr(node, "end_col_offset", None)
        first = self._offset(line, column)
        last = self._offset(end_line, end_column) if end_column is not None else first + 1
        return self.scalar.locate(self.start + first, self.start + max(last, first + 1))

    def attribute_name(self, node: ast.Attribute) -> Span:
        """Return the place of the name behind the dot."""
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        return self.scalar.locate(self.start + end - len(node.attr), self.start + end)

    def _offset(self, line: int, column: int) -> int:
        """Turn a position of `ast` (1-based line, column in UTF-8 bytes) into a character offset."""
        if line > len(self._lines):
            return len(self.text)
        start, text = self._lines[line - 1]
        return start + len(text.encode()[:column].decode(errors="ignore"))

    @cached_property
    def _lines(self) -> list[tuple[int, str]]:
        """The lines of the text, each with the offset at which it starts."""
        lines = self.text.split("\n")
        starts = accumulate((len(line) + 1 for line in lines), initial=0)
        return list(zip(starts, lines, strict=False))


@dataclass(frozen=True, eq=False)
class Expression(Source):
    """One expression: `tree` is its checked `ast` node."""

    tree: ast.expr

    @property
    def roots(self) -> tuple[ast.AST, ...]:
        return (self.tree,)

    def part(self, tree: ast.expr) -> Expression:
        """Return an expression for a node inside this one."""
        return Expression(self.scalar, self.text, self.start, tree)

    @cached_property
    def place(self) -> Span:
        return self.span(self.tree)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names in it, those of functions too."""
        return frozenset(node.id for node in walk(self.tree) if isinstance(node, ast.Name))

    def __str__(self) -> str:
        return self._unparsed

    @cached_property
    def _unparsed(self) -> str:
        return ast.unparse(self.tree)


@dataclass(frozen=True, eq=False)
class Program(Source):
    """A forward program: `body` are its checked statements."""

    body: tuple[ast.stmt, ...]

    @property
    def roots(self) -> tuple[ast.AST, ...]:
        return self.body

    @property
    def place(self) -> Span:
        """The place of the last statement, which returns."""
        return self.span(self.body[-1])


def parse_expression(
    scalar: Scalar, start: int = 0, end: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> Expression:
    """Read the characters `start` to `end` of a scalar's text as one expression.

    Raises:
        SpecError: the text is no expression, holds a form that the language does not have, or is too large.
    """
    whole = scalar.text if isinstance(scalar.value, str) else repr(scalar.value)
    text = whole[start:end]
    start += len(text) - len(text.lstrip())
    text = text.strip().replace("\n", " ")
    if len(text) > limits.expression:
        raise refuse(
            "expression-too-long",
            f"an expression of {len(text):,} characters",
            scalar.span,
            notes=(f"the limit is {limits.expression:,}",),
            help="move parts of it into `vars`",
        )
    check_time(scalar.span)
    tree = parse(scalar, text, start, "eval")
    assert isinstance(tree, ast.Expression)
    expression = Expression(scalar, text, start, tree.body)
    _check(expression, [tree.body], EXPRESSIONS, limits)
    return expression


def parse_program(
    scalar: Scalar, limits: Limits = DEFAULT_LIMITS, aside: list[Diagnostic] | None = None
) -> Program:
    """Read a scalar's text as a forward program.

    With a list for what is put `aside`, it gets the statements whose value is thrown away, and the program is
    without them.

    Raises:
        SpecError: as `parse_expression`, or a way through the program returns nothing.
    """
    text = scalar.text
    check_time(scalar.span)
    tree = parse(scalar, text, 0, "exec")
    assert isinstance(tree, ast.Module)
    body = tree.body
    if aside is not None:
        body = passed_over(Program(scalar, text, 0, tuple(body)), body, aside)
    program = Program(scalar, text, 0, tuple(body))
    _check(program, body, STATEMENTS + EXPRESSIONS, limits)
    astray = list(outside_loops(program, body))
    if astray:
        raise SpecError(astray)
    if not body:
        raise refuse("missing-return", "the program is empty", scalar.span, help="end it with `return x`")
    thrown_away = any(not each.passed_over for each in aside or ())  # maybe what was meant to be returned
    if not always_returns(body) and not thrown_away:
        raise _missing_return(program, body[-1])
    return program


def parse_value(scalar: Scalar) -> Expression | Program:
    """Read a scalar's text as an expression, or as a program of several statements that returns the value.

    Raises:
        SpecError: as `parse_expression` and `parse_program`.
    """
    if "return" in scalar.text and "\n" in scalar.text.strip():
        return parse_program(scalar)
    return parse_expression(scalar)


def _missing_return(program: Program, last: ast.stmt) -> SpecError:
    bound = last.targets[0] if isinstance(last, ast.Assign) else getattr(last, "target", None)
    value = f"`return {bound.id}`" if isinstance(bound, ast.Name) else "`return` and the value that flows on"
    return refuse(
        "missing-return",
        "the program can end without a `return`",
        program.span(last),
        help=f"end it with {value}",
    )


def always_returns(body: Sequence[ast.stmt]) -> bool:
    """Return whether every way through the statements ends at a `return`."""
    last = body[-1] if body else None
    if isinstance(last, ast.If):
        return always_returns(last.body) and always_returns(last.orelse)
    return isinstance(last, ast.Return)


def _check(
    source: Source, roots: Sequence[ast.AST], allowed: tuple[type[ast.AST], ...], limits: Limits
) -> None:
    problems = form_problems(source, roots, allowed, limits)
    if problems:
        raise SpecError(problems)


def form_problems(
    source: Source,
    roots: Sequence[ast.AST],
    allowed: tuple[type[ast.AST], ...] = EXPRESSIONS,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Diagnostic]:
    """Return what the language does not have: each form once, not what is inside it too.

    Raises:
        SpecError: there is too much of it, or it is nested too deeply.
    """
    problems: list[Diagnostic] = []
    count = 0
    stack = [(root, 0, False) for root in reversed(roots)]
    while stack:
        node, depth, is_index = stack.pop()
        count += 1
        _check_size(source, node, depth, count, limits)
        problem = form_problem(source, node, allowed, is_index)
        if problem:
            problems.append(problem)
            continue
        below = depth + 1 if isinstance(node, ast.expr) else depth
        index = node.slice if isinstance(node, ast.Subscript) else None
        within = is_index and isinstance(node, ast.Tuple)
        children = reversed(list(ast.iter_child_nodes(node)))
        stack.extend((child, below, within or child is index) for child in children)
    return problems


def _check_size(source: Source, node: ast.AST, depth: int, count: int, limits: Limits) -> None:
    if depth > limits.expression_depth:
        raise refuse(
            "expression-too-deep",
            f"an expression nested more than {limits.expression_depth} deep",
            source.span(node),
            help="name a part of it first",
        )
    if count > limits.program_operations:
        raise refuse(
            "program-too-long",
            f"a program of more than {limits.program_operations:,} operations",
            source.scalar.span,
            help="split it into blocks",
        )
