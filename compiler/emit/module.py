"""Emit: from the states and the plan of a model to the source of a stand-alone Python file."""

from __future__ import annotations

import ast

from compiler.emit.classes.emitter import ClassEmitter
from compiler.emit.copies import copies_key
from compiler.emit.file import EmittedFile
from compiler.emit.initialise import FirstValues
from compiler.emit.keys import write_keys
from compiler.emit.operations import OperationEmitter
from compiler.emit.passes.merging import Origin
from compiler.emit.passes.table import LAST, run_passes
from compiler.emit.rounding import rounding
from compiler.emit.rules import rules_key
from compiler.emit.runs import Run, Runs
from compiler.emit.stored import read_stored
from compiler.infer.infer import Inferred
from compiler.infer.values import Recipe
from compiler.placement.groups import has_recursion
from compiler.placement.transfers import Transfers
from compiler.resolve.calls import meant
from compiler.rules.plan import Plan
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.walk import walk


def emit_tree(inferred: Inferred, plan: Plan, moves: Transfers) -> tuple[ast.Module, str]:
    """Return the tree of the emitted file, and the name of its root class."""
    file = EmittedFile(Runs([Run(inferred, plan.plain)]), moves)
    return emit_file(file), file.root.name


def emit_file(file: EmittedFile, until: str = LAST) -> ast.Module:
    """Return the tree of the whole file, as the pass `until` leaves it.

    Raises:
        SpecError: a class cannot be written.
        UnliftableError: it would not be that of the model in all runs.
    """
    code = _code(file)
    if has_recursion(file.groups):
        file, code = _until_settled(file, code)
    code = run_passes(code, _origins(file), until)
    code = read_stored(code, {each.by.name for run in file.runs.all for each in run.plan.parametrized})
    file.names.read(code)
    body = [*_docstring(file), *file.names.imports(), *rounding(code), *code.body]
    return ast.fix_missing_locations(ast.Module(body, []))


def _until_settled(file: EmittedFile, code: ast.Module) -> tuple[EmittedFile, ast.Module]:
    """Write a file again until each class is made with all of its arguments: one that makes instances of itself may
    come to need another argument after that.
    """
    before = -1
    while before != (before := file.brought):
        file = file.once_more()
        code = _code(file)
    return file, code


def _code(file: EmittedFile) -> ast.Module:
    """Return what the file has below its imports, before any pass."""
    file.runs.check_rules(lambda plan: (rules_key(plan), copies_key(plan)))
    operations = OperationEmitter(file)
    first_values = FirstValues(file.runs, file.names, file.plugins)
    classes = [ClassEmitter(file, group, operations, first_values).emit() for group in file.groups.values()]
    file.runs.check_root(file.root)
    helpers = [*operations.emitted(), *file.helpers()]
    code = ast.Module([*file.functions, *helpers, *classes], [])
    for node in walk(code):
        if isinstance(node, ast.Constant) and isinstance(node.value, Recipe):
            raise _not_a_value(node.value)
    return write_keys(code)


def _docstring(file: EmittedFile) -> list[ast.stmt]:
    document = file.inferred.program.document
    text = document.doc.text if document.doc else None
    return [ast.Expr(ast.Constant(text.strip()))] if text else []


def _origins(file: EmittedFile) -> dict[str, Origin]:
    """Return the block that each class comes from, with those of its arguments that are layers."""
    found: dict[str, Origin] = {}
    for group in file.groups.values():
        given = group.states[0].arguments.items()
        layers = {
            meant(v.call).target: file.names.in_constructor(k) for k, v in given if isinstance(v, Recipe)
        }
        found[group.name] = Origin(group.definition.name, layers)
    return found


def _not_a_value(recipe: Recipe) -> SpecError:
    return refuse(
        "not-a-value",
        f"`{recipe}` is a layer that a block is given, and is computed with",
        recipe.call.span,
        help="an expression may ask for the length of a list of layers, and whether a layer is `None`",
    )
