"""Forward programs with every name looked up against closed tables."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from compiler.catalogue.operation_table import CONSTANTS, METHODS
from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from compiler.program import Scope
from compiler.resolve.values import is_type
from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.evaluate import FUNCTIONS
from spec_schema.grammar import Source
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

ATTRIBUTES = frozenset({"shape", "dtype", "device", "ndim", "T", "mT"})
"""The attributes of a tensor that a program may read."""
NAMESPACES = frozenset({"fft", "linalg", "special"})
MODE = "training"


@dataclass(frozen=True)
class ProgramNames:
    """What a program may name: its inputs, the block's layers and tensors, and compile-time values."""

    inputs: frozenset[str]
    layers: Mapping[str, Span]
    tensors: frozenset[str]
    values: frozenset[str]
    scope: Scope

    def everything(self) -> list[str]:
        plugins = self.scope.plugins.operations
        return [
            *self.inputs,
            *self.layers,
            *self.tensors,
            *self.values,
            *OPERATIONS,
            *plugins,
            *FUNCTIONS,
            MODE,
        ]


def check_program(program: Source, body: Iterable[ast.AST], names: ProgramNames) -> list[Diagnostic]:
    """Return what is wrong with the names of a program."""
    roots = list(body)
    stored = {
        n.id: n
        for root in roots
        for n in ast.walk(root)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    problems = list(_hiding(program, stored, names))
    local = frozenset(stored)
    for root in roots:
        for node in ast.walk(root):
            problems.extend(_check_node(program, node, local, names))
    return sorted(problems, key=lambda d: d.span.start if d.span else 0)


def _hiding(program: Source, stored: Mapping[str, ast.Name], names: ProgramNames) -> Iterator[Diagnostic]:
    for name, node in stored.items():
        if name in names.layers:
            yield Diagnostic(
                "hidden-layer",
                f"the local name `{name}` hides the layer `{name}`",
                program.span(node),
                labels=(Label(names.layers[name], "the layer"),),
                help="give the value another name",
            )
        elif name in names.tensors or name == MODE:
            what = "a parameter or buffer of the block" if name in names.tensors else "the module's mode"
            yield Diagnostic(
                "hidden-layer",
                f"the local name `{name}` hides {what}",
                program.span(node),
                help="give the value another name",
            )


def _check_node(
    program: Source, node: ast.AST, local: frozenset[str], names: ProgramNames
) -> Iterator[Diagnostic]:
    if isinstance(node, ast.Call):
        yield from _check_call(program, node, local, names)
    elif isinstance(node, ast.Attribute):
        yield from _check_attribute(program, node, names)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _check_name(program, node, local, names)


def _check_call(
    program: Source, node: ast.Call, local: frozenset[str], names: ProgramNames
) -> Iterator[Diagnostic]:
    function = node.func
    if isinstance(function, ast.Attribute):
        yield from _check_method(program, function, local, names)
    elif not isinstance(function, ast.Name | ast.Subscript):
        yield Diagnostic(
            "unknown-function", "only a layer, an operation or a method can be called", program.span(function)
        )


def _check_method(
    program: Source, function: ast.Attribute, local: frozenset[str], names: ProgramNames
) -> Iterator[Diagnostic]:
    if _is_namespace(function, local, names):
        name = f"{function.value.id}.{function.attr}"  # type: ignore[attr-defined]
        if name not in OPERATIONS:
            yield _unknown(program, function, name, OPERATIONS, "unknown-operation", "there is no operation")
    elif isinstance(function.value, ast.Name) and function.value.id in names.layers:
        return  # a child's own layer, which the interpreter looks up
    elif function.attr not in METHODS:
        if function.attr.endswith("_"):
            yield Diagnostic(
                "changed-in-place",
                f"`{function.attr}` changes its tensor in place",
                program.span(function),
                help=f"use `{function.attr.rstrip('_')}`",
            )
        else:
            yield _unknown(
                program, function, function.attr, METHODS, "unknown-method", "tensors have no method"
            )


def _is_namespace(node: ast.Attribute, local: frozenset[str], names: ProgramNames) -> bool:
    value = node.value
    return (
        isinstance(value, ast.Name)
        and value.id in NAMESPACES
        and value.id not in local
        and value.id not in names.layers
        and value.id not in names.inputs
    )


def _check_attribute(program: Source, node: ast.Attribute, names: ProgramNames) -> Iterator[Diagnostic]:
    owner = node.value
    if isinstance(owner, ast.Name) and (owner.id in names.layers or owner.id in NAMESPACES):
        return
    if node.attr not in ATTRIBUTES and node.attr not in METHODS and not node.attr.endswith("_"):
        known = [*ATTRIBUTES, *METHODS]
        yield _unknown(program, node, node.attr, known, "unknown-attribute", "a value has no attribute")


def _check_name(
    program: Source, node: ast.Name, local: frozenset[str], names: ProgramNames
) -> Iterator[Diagnostic]:
    name = node.id
    if name in local or name in names.inputs or name in names.layers or name in names.tensors:
        return
    if name in names.values or name in OPERATIONS or name in names.scope.plugins.operations:
        return
    if name in FUNCTIONS or name in CONSTANTS or name in NAMESPACES or name == MODE:
        return
    if is_type(name, names.scope):
        yield Diagnostic(
            "layer-in-program",
            f"`{name}` is a type of layer, and a program calls layers by their names",
            program.span(node),
            help=f"name one under `layers:`, such as `{name.lower()}: {name}(...)`, and call that",
        )
        return
    yield _unknown(program, node, name, names.everything(), "unknown-name", "nothing here is named")


def _unknown(
    program: Source, node: ast.AST, name: str, known: Iterable[str], code: str, what: str
) -> Diagnostic:
    near = did_you_mean(name, known)
    return Diagnostic(
        code, f"{what} `{name}`", program.span(node), help=f"did you mean `{near}`?" if near else None
    )
