"""Expressions of a spec as expressions of Python: names looked up, constants folded."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from compiler.catalogue.operation_table import CONSTANTS
from compiler.emit.literals import literal
from compiler.emit.names import Globals
from compiler.emit.syntax import dotted, load_name
from compiler.emit.trees import copy_tree, stored_names
from spec_schema.evaluate import BINARY, COMPARISONS, make_divisible
from spec_schema.walk import walk

MATH = {"floor", "ceil", "sqrt", "log"}
NUMBERS: dict[str, Callable[..., Any]] = {
    "len": len,
    "max": max,
    "min": min,
    "sum": sum,
    "make_divisible": make_divisible,
}
"""Functions that are computed where all that they get is literal."""


class Translator(ast.NodeTransformer):
    """Translates one expression of compile-time values. `literals` are names that stand for a fixed value."""

    def __init__(
        self,
        names: Globals,
        literals: Mapping[str, object],
        renamed: Mapping[str, ast.expr],
        lists: Collection[str] = (),
    ) -> None:
        self.names = names
        self.literals = literals
        self.renamed = renamed
        self.lists = lists
        """Names of lists that may be given as tuples: they are joined and compared as lists all the same."""
        self.bound: set[str] = set()
        self.inside_comprehension = False

    def translate(self, node: ast.expr) -> ast.expr:
        """Return the translation of an expression; the original is left alone."""
        result: ast.expr = self.visit(node)
        return result

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        """Translate a comprehension, whose names are bound in it alone, and not yet in what it goes over first."""
        before, generators = self.bound, []
        outside, self.inside_comprehension = self.inside_comprehension, True
        for each in node.generators:
            over = self.visit(each.iter)
            self.bound = self.bound | stored_names(each.target)
            tests = [condition(self.visit(test)) for test in each.ifs]
            generators.append(ast.comprehension(self.visit(each.target), over, tests, 0))
        element = self.visit(node.elt)
        self.bound, self.inside_comprehension = before, outside
        return ast.ListComp(element, generators)

    def local_name(self, name: str) -> str:
        """Return what a name that the expression binds is called."""
        return name if name == "_" else self.names.in_constructor(name)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Return a new node with its parts translated; the original is left alone."""
        return type(node)(**{name: self._part(getattr(node, name, None)) for name in node._fields})

    def _part(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._part(item) for item in value]
        return self.visit(value) if isinstance(value, ast.AST) else value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Store) or node.id in self.bound:
            return ast.Name(self.local_name(node.id), node.ctx)
        if node.id in self.renamed:
            renamed: ast.expr = copy_tree(self.renamed[node.id])
            return renamed
        if node.id in self.literals:
            return literal(self.literals[node.id])
        if node.id in CONSTANTS:
            return self.names.function(CONSTANTS[node.id])
        return load_name(node.id)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        function = node.func
        arguments = [self.visit(argument) for argument in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        if isinstance(function, ast.Name):
            return self.builtin(function.id, arguments, keywords)
        return ast.Call(self.visit(function), arguments, keywords)

    def builtin(self, name: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
        """Return the call of a function of numbers. A linter wants to know of `zip` that it may end early."""
        if name == "zip" and not keywords:
            keywords = [ast.keyword("strict", ast.Constant(False))]
        known = self._counted(name, arguments) if not keywords else None
        return known or ast.Call(self._function(name), arguments, keywords)

    def _counted(self, name: str, arguments: list[ast.expr]) -> ast.expr | None:
        """Return the whole number that a function of literals gives."""
        try:
            value = NUMBERS[name](*map(ast.literal_eval, arguments))
        except (KeyError, ValueError, TypeError, ArithmeticError):
            return None
        return literal(value) if type(value) is int else None

    def _function(self, name: str) -> ast.expr:
        if name in MATH:
            self.names.used.add("math")
            return dotted(f"math.{name}")
        return load_name(name)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        return fold(ast.BinOp(self._operand(node.left), node.op, self._operand(node.right)))

    def _operand(self, node: ast.expr) -> ast.expr:
        """Return a part of an operation, `[*widths]` where it is an argument that is a list."""
        made: ast.expr = self.visit(node)
        part = node.value if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) else node
        is_list = isinstance(part, ast.Name) and part.id in self.lists and part.id not in self.bound
        return ast.List([ast.Starred(made, ast.Load())], ast.Load()) if is_list else made

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Take an item of a literal list at once."""
        value, at = self.visit(node.value), self.visit(node.slice)
        if isinstance(value, ast.List | ast.Tuple):
            place = _place(at)
            if isinstance(place, slice):
                return type(value)(value.elts[place], ast.Load())
            if place is not None and -len(value.elts) <= place < len(value.elts):
                return value.elts[place]
        return ast.Subscript(value, at, node.ctx)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        made = ast.UnaryOp(node.op, self.visit(node.operand))
        return condition(made) if isinstance(node.op, ast.Not) else made

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        contained = isinstance(node.ops[0], ast.In | ast.NotIn)
        left = self._operand(node.left)
        rights = [self.visit(each) if contained else self._operand(each) for each in node.comparators]
        if len(rights) == 1 and isinstance(left, ast.Constant) and isinstance(rights[0], ast.Constant):
            return ast.Constant(COMPARISONS[type(node.ops[0])](left.value, rights[0].value))
        return ast.Compare(left, node.ops, rights)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """Drop constants that do not decide, but for the last one, whose value counts; end with one that does."""
        kept: list[ast.expr] = []
        for at, operand in enumerate(map(self.visit, node.values), start=1):
            decides = isinstance(operand, ast.Constant) and bool(operand.value) is isinstance(node.op, ast.Or)
            if decides or at == len(node.values) or not isinstance(operand, ast.Constant):
                kept.append(operand)
            if decides:
                break
        return kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test = condition(self.visit(node.test))
        if isinstance(test, ast.Constant):
            chosen = self.visit(node.body if test.value else node.orelse)
            assert isinstance(chosen, ast.expr)
            return chosen
        return ast.IfExp(test, self.visit(node.body), self.visit(node.orelse))


def condition(node: ast.expr) -> ast.expr:
    """Return what is only asked to be true or false, without the constants in it."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = condition(operand)
            return (
                ast.Constant(not inner.value)
                if isinstance(inner, ast.Constant)
                else ast.UnaryOp(ast.Not(), inner)
            )
        case ast.BoolOp(op=op, values=values):
            return _joined(op, [condition(value) for value in values])
    return node


def _joined(op: ast.boolop, operands: Sequence[ast.expr]) -> ast.expr:
    """Join conditions. A constant that decides stands for those in front of it too, but for calls: they may draw."""
    deciding, kept = isinstance(op, ast.Or), list[ast.expr]()
    for operand in operands:
        if not isinstance(operand, ast.Constant):
            kept.append(operand)
        elif bool(operand.value) is deciding:
            calls = any(isinstance(part, ast.Call) for each in kept for part in walk(each))
            return ast.BoolOp(op, [*kept, operand]) if calls else ast.Constant(deciding)
    if not kept:
        return ast.Constant(not deciding)
    return kept[0] if len(kept) == 1 else ast.BoolOp(op, kept)


def _place(at: ast.expr) -> int | slice | None:
    """Return the whole number, or the slice of them, that an index is."""
    parts = [at.lower, at.upper, at.step] if isinstance(at, ast.Slice) else [at]
    try:
        found = [None if part is None else ast.literal_eval(part) for part in parts]
    except (ValueError, TypeError):
        return None
    if (
        isinstance(at, ast.Slice)
        and all(each is None or type(each) is int for each in found)
        and found[2] != 0
    ):
        return slice(*found)
    return found[0] if type(found[0]) is int else None


def fold(node: ast.BinOp) -> ast.expr:
    """Compute an operation on whole numbers, and join lists; anything else stays as it is written."""
    left, right = node.left, node.right
    if isinstance(left, ast.List) and isinstance(right, ast.List) and isinstance(node.op, ast.Add):
        return ast.List([*left.elts, *right.elts], ast.Load())
    whole = all(isinstance(part, ast.Constant) and type(part.value) is int for part in (left, right))
    if not whole or isinstance(node.op, ast.Div | ast.MatMult):
        return node
    assert isinstance(left, ast.Constant)
    assert isinstance(right, ast.Constant)
    try:
        value: Any = BINARY[type(node.op)](left.value, right.value)
    except (ArithmeticError, ValueError):
        return node
    return literal(value) if type(value) is int else node
