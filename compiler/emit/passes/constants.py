"""Fold constants: `1 * x`, `x + 0`, `x // 1`, and products of literals, where neither value nor type changes."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from compiler.emit.passes.functions import functions
from spec_schema.walk import walk

Kind = Literal["int", "float", "number"]
"""What is known of a value: an `int`, a `float`, or one of both. A tensor, a text and a `bool` are none of these."""
ANNOTATIONS: Mapping[str, Kind] = {"int": "int", "float": "number"}  # an int may be given for a float
WHOLE_CALLS = frozenset({"len", "math.floor", "math.ceil", "make_divisible"})


def fold_constants(tree: ast.Module) -> ast.Module:
    """Fold the constants in each function of a file."""
    for function in functions(tree):
        if not any(isinstance(node, ast.BinOp) for node in walk(function)):
            continue
        folder = _Folder(_kinds_of_names(function))
        function.body = [folder.visit(statement) for statement in function.body]
    return tree


def _kinds_of_names(function: ast.FunctionDef) -> dict[str, Kind]:
    """Return what is known of the arguments and local values of a function that are bound once."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    nodes = [node for node in walk(function) if isinstance(node, ast.Name)]
    stored = [node.id for node in nodes if isinstance(node.ctx, ast.Store)]
    bound = Counter([*(argument.arg for argument in arguments), *stored])
    kinds: dict[str, Kind] = {}
    for argument in arguments:
        if isinstance(argument.annotation, ast.Name) and argument.annotation.id in ANNOTATIONS:
            kinds[argument.arg] = ANNOTATIONS[argument.annotation.id]
    kinds = {name: kind for name, kind in kinds.items() if bound[name] == 1}
    for name, kind in _local_kinds(function, kinds):
        if kind is not None and bound[name] == 1:
            kinds[name] = kind
    return kinds


def _local_kinds(function: ast.FunctionDef, kinds: Mapping[str, Kind]) -> Iterator[tuple[str, Kind | None]]:
    for node in walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            (target,) = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from _bound(target, kind_of(node.value, kinds))
        elif isinstance(node, ast.For | ast.comprehension):
            yield from _counted(node.target, node.iter)


def _bound(target: ast.expr, kind: Kind | None) -> Iterator[tuple[str, Kind | None]]:
    whole = isinstance(target, ast.Name)
    for node in walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, kind if whole else None


def _counted(target: ast.expr, over: ast.expr) -> Iterator[tuple[str, Kind | None]]:
    """Yield the names that a loop binds: those that count are whole numbers."""
    made = over.func.id if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) else None
    if made == "enumerate" and isinstance(target, ast.Tuple):
        yield from _bound(target.elts[0], "int")
        yield from (pair for part in target.elts[1:] for pair in _bound(part, None))
    else:
        yield from _bound(target, "int" if made == "range" else None)


def kind_of(node: ast.expr, kinds: Mapping[str, Kind]) -> Kind | None:
    """Return what is known of the value of an expression."""
    match node:
        case ast.Constant(value=value):
            return "int" if type(value) is int else "float" if type(value) is float else None
        case ast.Name(id=name):
            return kinds.get(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return kind_of(operand, kinds)
        case ast.Call() if ast.unparse(node.func) in WHOLE_CALLS:
            return "int"
        case ast.BinOp():
            return _kind_of_operation(node, kind_of(node.left, kinds), kind_of(node.right, kinds))
    return None


def _kind_of_operation(node: ast.BinOp, left: Kind | None, right: Kind | None) -> Kind | None:
    if left is None or right is None:
        return None
    match node.op:
        case ast.Div():
            return "float"
        case ast.Pow() if left == "int":
            power = _whole(node.right)
            return "int" if power is not None and power >= 0 else None
        case ast.Add() | ast.Sub() | ast.Mult() | ast.FloorDiv() | ast.Mod() | ast.Pow():
            return "float" if "float" in (left, right) else left if left == right else "number"
    return None


class _Folder(ast.NodeTransformer):
    """Folds the operations in one function, whose names are of the given kinds."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = kind_of(node.left, self.kinds), kind_of(node.right, self.kinds)
        if left is None or right is None:
            return node
        if left == right == "int":
            node = _product(node)
        return self._neutral(node, left, right)

    def _neutral(self, node: ast.expr, left: Kind, right: Kind) -> ast.expr:
        """Leave out an operand that changes nothing."""
        match node:
            case ast.BinOp(op=ast.Mult()):
                for one, other, kind in ((node.left, node.right, right), (node.right, node.left, left)):
                    if _whole(one) == 1 or (_is_one(one) and kind == "float"):
                        return other
            case ast.BinOp(op=ast.Add() | ast.Sub()) if left == right == "int":
                if _whole(node.right) == 0:
                    return node.left
                if _whole(node.left) == 0 and isinstance(node.op, ast.Add):
                    return node.right
            case ast.BinOp(op=ast.FloorDiv()) if left == "int" and _whole(node.right) == 1:
                return node.left
            case ast.BinOp(op=ast.Pow()) if _whole(node.right) == 1:
                return node.left
        return node


def _product(node: ast.BinOp) -> ast.BinOp:
    """Join the literal factors of whole numbers, and divide them where that leaves no rest."""
    match node:
        case ast.BinOp(op=ast.Mult()):
            return _joined(_factors(node), 1) or node
        case ast.BinOp(op=ast.FloorDiv(), left=ast.BinOp(op=ast.Mult()) as product):
            divisor = _whole(node.right)
            return (_joined(_factors(product), divisor) if divisor else None) or node
    return node


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]


def _joined(factors: list[ast.expr], divisor: int) -> ast.BinOp | None:
    """Return the product with one literal, divided by a number; None if there is nothing to join or to divide."""
    literals = [at for at, factor in enumerate(factors) if _whole(factor) is not None]
    if len(literals) < (2 if divisor == 1 else 1) or len(literals) == len(factors):
        return None
    number = 1
    for at in literals:
        number *= _whole(factors[at]) or 0
    if number % divisor:
        return None
    kept = [factor for at, factor in enumerate(factors) if at not in literals[1:]]
    kept[kept.index(factors[literals[0]])] = ast.Constant(number // divisor)
    result = kept[0]
    for factor in kept[1:]:
        result = ast.BinOp(result, ast.Mult(), factor)
    assert isinstance(result, ast.BinOp)
    return result


def _whole(node: ast.expr) -> int | None:
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is float and node.value == 1.0
