"""Resolve: from loaded documents to a program in which every name is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.catalogue.layers import layer_names
from compiler.catalogue.plugins import Registry
from compiler.load import Loaded
from compiler.program import (
    Parameter,
    ResolvedProgram,
    Scope,
    ValueTree,
)
from compiler.resolve.bare_names import bare_names
from compiler.resolve.cycles import cycles
from compiler.resolve.definitions import DefinitionReader, default_inputs
from compiler.resolve.imported_rules import with_rules_of_file
from compiler.resolve.model import read_model
from compiler.resolve.model_inputs import read_inputs, size_of
from compiler.resolve.rules import read_rules
from compiler.resolve.signatures import read_signature
from compiler.resolve.values import check_names, free_names, read_value
from spec_schema.clock import stage
from spec_schema.diagnostics import Diagnostic, Label, SpecError
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression
from spec_schema.keys import block_name
from spec_schema.reader import Node, Scalar
from spec_schema.suggest import did_you_mean

REGISTERED = frozenset({"unknown-layer", "unknown-operation", "unknown-parametrization"})
"""Names that mean nothing here may be those of a plugin: while a required one is missing they are not reported."""


@stage("resolve")
def resolve(loaded: Loaded, plugins: Registry) -> ResolvedProgram:
    """Return the program of a loaded spec.

    Raises:
        SpecError: with every name that means nothing, in all files.
    """
    problems: list[Diagnostic] = []
    scope = _resolve_file(loaded, plugins, problems, {})
    inputs, sizes, size_spans = read_inputs(loaded.document, scope, problems)
    model = read_model(loaded, scope, problems)
    if model is not None:
        problems.extend(bare_names([model], scope))
    missing = _requirements(loaded, plugins)
    if missing:
        problems = [*missing, *(problem for problem in problems if problem.code not in REGISTERED)]
    if all(each.passed_over for each in problems):
        problems.extend(cycles(scope))
    if model is None or not all(each.passed_over for each in problems):
        raise SpecError(_distinct(problems))
    return ResolvedProgram(
        model.name,
        loaded.document,
        scope,
        model,
        inputs,
        sizes,
        size_spans,
        loaded.document.train,
        scope.variables,
        tuple(_distinct(problems)),
    )


def _distinct(problems: list[Diagnostic]) -> list[Diagnostic]:
    found: dict[tuple[str, str, str], Diagnostic] = {}
    for problem in problems:
        found.setdefault((problem.code, str(problem.span), problem.message), problem)
    return list(found.values())


def _resolve_file(
    loaded: Loaded, plugins: Registry, problems: list[Diagnostic], done: dict[str, Scope]
) -> Scope:
    if loaded.path in done:
        return done[loaded.path]
    scope = Scope(loaded.name, plugins=plugins)
    done[loaded.path] = scope
    _variables(loaded, scope, problems)
    for path, imported in loaded.imports.items():
        source = _resolve_file(imported, plugins, problems, done)
        if source.rules is None:
            source.rules = read_rules(imported.document, source, problems)
        _import(loaded, path, source, scope, problems)
    readers = _declare(loaded, scope, problems)
    _check_recipes(scope, problems)
    for name, reader in readers.items():
        body = loaded.document.blocks[reader[0]]
        scope.blocks[name] = reader[1].read(body)
        problems.extend(reader[1].problems)
    problems.extend(bare_names([scope.blocks[name] for name in readers], scope))
    return scope


def _variables(loaded: Loaded, scope: Scope, problems: list[Diagnostic]) -> None:
    written: Mapping[str, Node] = loaded.document.table("vars") if loaded.document.vars else {}
    failed: set[str] = set()
    types = _types(loaded, scope)
    for name in loaded.document.vars:
        node: Node = loaded.overrides.get(name, written[name])
        scope.variable_spans[name] = (
            node.span if name in loaded.overrides else loaded.document.keys_of("vars")[name].span
        )
        scope.variables[name] = None
        try:
            tree = read_value(node)
            if free_names(tree) & failed:
                failed.add(name)
                continue  # what is wrong with it follows from what was reported
            if free_names(tree) & (types | scope.recipes.keys()) - scope.variables.keys():
                scope.recipes[name] = tree
                del scope.variables[name]
                continue
            found = check_names(tree, set(scope.variables) - {name}, scope)
            if found:
                raise SpecError(found)
            scope.variables[name] = value_of(tree, scope.variables)
            scope.variable_trees[name] = tree
        except SpecError as error:
            problems.extend(error.diagnostics)
            failed.add(name)


def _types(loaded: Loaded, scope: Scope) -> set[str]:
    """Return the names of layers and blocks that a file may use, before its blocks are read."""
    blocks = {block_name(key) for key in loaded.document.blocks}
    items = (item for taken in loaded.document.import_.values() for item in taken)
    imported = {new.text for item in items for new in _news(item)}
    return {*blocks, *imported, *scope.plugins.layers, *layer_names()}


def _news(item: Scalar | dict[str, Scalar]) -> list[Scalar]:
    """Return what a file calls the blocks that one item of an import takes."""
    return [item] if isinstance(item, Scalar) else [*item.values()]


def _check_recipes(scope: Scope, problems: list[Diagnostic]) -> None:
    """Look up the names of the variables that are layers."""
    above = set(scope.variables)
    for name, tree in scope.recipes.items():
        problems.extend(check_names(tree, above, scope))
        above.add(name)


def with_variables(program: ResolvedProgram, values: Mapping[str, object]) -> ResolvedProgram:
    """Return a program with other values of its variables; what the spec computes from them is computed again.

    Raises:
        SpecError: something cannot be computed.
    """
    found: dict[str, object] = {}
    for name, tree in program.scope.variable_trees.items():
        found[name] = values[name] if name in values else value_of(tree, found)
    sizes = {
        name: size_of(name, program.document.dims[name], found) if name in program.document.dims else size
        for name, size in program.sizes.items()
    }
    return replace(program, variables=found, sizes=sizes)


def value_of(tree: ValueTree, names: Mapping[str, object]) -> Any:
    """Return the value of a tree of expressions."""
    if isinstance(tree, Expression):
        return evaluate(tree, names)
    return [value_of(part, names) for part in tree]


def _import(loaded: Loaded, path: str, source: Scope, scope: Scope, problems: list[Diagnostic]) -> None:
    for item in loaded.document.import_[path]:
        pairs = [(item, item)] if isinstance(item, Scalar) else [(None, new) for new in item.values()]
        for old, new in pairs:
            wanted = old.text if old is not None else next(iter(item))  # type: ignore[arg-type]
            place = new.span
            if wanted not in source.blocks:
                near = did_you_mean(wanted, source.blocks)
                problems.append(
                    Diagnostic(
                        "import-missing",
                        f"`{path}` has no block `{wanted}`",
                        place,
                        notes=(f"blocks in it: {', '.join(source.blocks) or 'none'}",) if not near else (),
                        help=f"did you mean `{near}`?" if near else None,
                    )
                )
                scope.block_names.setdefault(new.text, place)  # its uses are not reported too
                continue
            if new.text in scope.block_names:
                problems.append(
                    Diagnostic(
                        "duplicate-name",
                        f"there is another block `{new.text}`",
                        place,
                        labels=(Label(scope.block_names[new.text], "the other"),),
                        help=f"import it under another name: `- {wanted}: Other{wanted}`",
                    )
                )
                continue
            scope.blocks[new.text] = with_rules_of_file(source.blocks[wanted], source)
            scope.block_names[new.text] = place


def _declare(
    loaded: Loaded, scope: Scope, problems: list[Diagnostic]
) -> dict[str, tuple[str, DefinitionReader]]:
    """Read the signatures of all blocks, so that a block may use one that stands below it."""
    readers: dict[str, tuple[str, DefinitionReader]] = {}
    for key, at in loaded.document.keys_of("blocks").items():
        try:
            name, parameters = read_signature(at, Parameter)
        except SpecError as error:
            problems.extend(error.diagnostics)
            scope.block_names.setdefault(
                at.text.split("(")[0].strip(), at.span
            )  # its uses are not reported too
            continue
        if not name[:1].isupper():
            problems.append(
                Diagnostic(
                    "bad-name",
                    f"the block `{name}` starts with a lower-case letter",
                    at.span,
                    help=f"name it `{name[:1].upper()}{name[1:]}`",
                )
            )
        if name in scope.block_names:
            problems.append(
                Diagnostic(
                    "duplicate-name",
                    f"there is another block `{name}`",
                    at.span,
                    labels=(Label(scope.block_names[name], "the other"),),
                )
            )
            continue
        scope.block_names[name] = at.span
        reader = DefinitionReader(name, parameters, scope, at.span, default_inputs(at.span))
        readers[name] = (key, reader)
    return readers


def _requirements(loaded: Loaded, plugins: Registry) -> list[Diagnostic]:
    """Return a diagnostic for each plugin that is missing, required by the spec or by a file that it imports."""
    return [
        Diagnostic(
            "missing-plugin",
            f"the spec requires the plugin `{name.text}`",
            name.span,
            help=f"give it on the command line: `--plugin {name.text}.py`",
        )
        for file in _with_imports(loaded, {}).values()
        for name in file.document.requires
        if name.text not in plugins.plugins
    ]


def _with_imports(loaded: Loaded, found: dict[str, Loaded]) -> dict[str, Loaded]:
    """Return a spec and all that it imports, each file once."""
    if loaded.path not in found:
        found[loaded.path] = loaded
        for imported in loaded.imports.values():
            _with_imports(imported, found)
    return found
