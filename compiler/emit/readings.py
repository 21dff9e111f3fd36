"""What an initialiser does for one tensor, found by a run without values: which branches it takes, what is a tensor."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
from compiler.catalogue.plugins import Registry
from compiler.infer.block_parameters import float_dtype
from compiler.infer.on_meta import only_meta
from compiler.infer.states import Leaf
from compiler.rules.dry_run import DrySource
from compiler.rules.initialisation import InitEvaluator
from compiler.rules.plan import PlanRow
from spec_schema.evaluate import FUNCTIONS
from spec_schema.grammar import Expression
from spec_schema.walk import walk

Kind = Literal["number", "float", "other"]
"""A plain value, a tensor of real or complex numbers, or a tensor of whole numbers or truths."""
DOUBLE = (torch.float64, torch.complex128)


@dataclass(frozen=True, eq=False)
class Reading:
    """What was found of one expression. Nodes are known by their identity."""

    taken: Mapping[int, set[bool]]
    """The branches of each conditional expression that are taken."""
    kinds: Mapping[int, set[Kind]]
    operations: set[int]
    """The calls that are operations on tensors, and no functions of numbers."""
    arguments: Mapping[int, Mapping[str, Any]]
    """Of each draw."""
    is_tensor: bool
    form: tuple[object, ...] = field(repr=False)
    """Equal for two expressions that are written alike, and take the same branches."""


class _Watched(InitEvaluator):
    """Evaluates an initialiser, and notes what it meets."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.taken: dict[int, set[bool]] = {}
        self.kinds: dict[int, set[Kind]] = {}
        self.operations: set[int] = set()
        self.arguments: dict[int, Mapping[str, Any]] = {}

    def value(self, node: ast.AST) -> Any:
        result = super().value(node)
        self.kinds.setdefault(id(node), set()).add(_kind(result))
        return result

    def _value_IfExp(self, node: ast.IfExp) -> Any:
        chosen = self.truth(node.test, self.value(node.test))
        self.taken.setdefault(id(node), set()).add(chosen)
        return self.value(node.body if chosen else node.orelse)

    def _operation(self, node: ast.Call, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if name not in FUNCTIONS or any(isinstance(value, Tensor) for value in arguments):
            self.operations.add(id(node))
        return super()._operation(node, name, arguments, keywords)

    def _bind(
        self, node: ast.AST, name: str, arguments: list[Any], keywords: dict[str, Any]
    ) -> dict[str, Any]:
        bound = self.arguments[id(node)] = super()._bind(node, name, arguments, keywords)
        return bound


def _kind(value: Any) -> Kind:
    if not isinstance(value, Tensor):
        return "number"
    return "float" if value.is_floating_point() or value.is_complex() else "other"


class Readings:
    """Reads the initialisers of one model, each distinct one once."""

    def __init__(self, plugins: Registry) -> None:
        self.registered = plugins.initializers
        self.known: dict[tuple[object, ...], Reading] = {}

    def of(self, row: PlanRow) -> Reading:
        """Return what the initialiser of a row does."""
        made = row.initialisation
        assert made is not None
        key = (id(made.expression), id(made.names), row.shape, row.dtype)
        if key not in self.known:
            self.known[key] = self._read(row, made.expression, made.names)
        return self.known[key]

    def _read(self, row: PlanRow, expression: Expression, names: Mapping[str, object]) -> Reading:
        if _is_plain(expression.tree, names, self.registered):
            return Reading({}, {}, set(), {}, is_draw(expression.tree, self.registered), (_dump(expression),))
        source = DrySource(row.shape, row.dtype)
        with only_meta(), float_dtype(torch.float64 if in_double(row) else torch.float32):
            run = _Watched(expression, names, row.shape, source, self.registered)
            value = run.result()
        nodes = list(walk(expression.tree))
        taken = tuple(sorted(map(int, run.taken.get(id(n), ()))) for n in nodes if isinstance(n, ast.IfExp))
        calls = tuple(id(n) in run.operations for n in nodes if isinstance(n, ast.Call))
        form = (_dump(expression), tuple(map(tuple, taken)), calls, isinstance(value, Tensor))
        return Reading(run.taken, run.kinds, run.operations, run.arguments, isinstance(value, Tensor), form)


def in_double(row: PlanRow) -> bool:
    """Return whether the values of a tensor are computed in double precision."""
    owner = row.source.owner
    return (owner.dtype if isinstance(owner, Leaf) else row.dtype) in DOUBLE


def _is_plain(tree: ast.expr, names: Mapping[str, object], registered: Mapping[str, object]) -> bool:
    """Return whether an expression is a number, or an initialiser whose arguments are numbers that are not negative."""
    parts: list[ast.AST] = [tree]
    if is_draw(tree, registered) and isinstance(tree, ast.Call):
        parts = [*tree.args, *(keyword.value for keyword in tree.keywords)]
    elif is_draw(tree, registered) and isinstance(tree, ast.Name):
        return tree.id not in names
    plain = ast.Constant | ast.BinOp | ast.operator
    return all(isinstance(node, plain) for part in parts for node in walk(part))


def is_draw(tree: ast.AST, registered: Mapping[str, object]) -> bool:
    """Return whether a node is a named initialiser, with its arguments or without."""
    name = tree.func if isinstance(tree, ast.Call) else tree
    return isinstance(name, ast.Name) and (name.id in INITIALIZER_ARGUMENTS or name.id in registered)


@lru_cache(maxsize=1024)
def _dump(expression: Expression) -> str:
    return ast.dump(expression.tree)
