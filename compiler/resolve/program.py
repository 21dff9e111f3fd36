"""Resolve: from loaded documents to a program in which every name is looked up."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

from compiler.catalogue.plugins import Registry
from compiler.load import Loaded
from compiler.program import (
    Definition,
    Input,
    ModelInput,
    ModuleBody,
    Parameter,
    ResolvedProgram,
    Scope,
    ValueTree,
)
from compiler.resolve.bare_names import bare_names
from compiler.resolve.cycles import cycles
from compiler.resolve.definitions import DefinitionReader, default_inputs
from compiler.resolve.rules import read_rules
from compiler.resolve.signatures import read_signature
from compiler.resolve.values import check_names, free_names, read_value
from spec_schema.bounds import bindings
from spec_schema.clock import stage
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import Expression, parse_expression
from spec_schema.reader import Node, Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.tensors import TensorType, parse_tensor

DEFAULT_SIZES = {"batch": 2}
DEFAULT_SIZE = 16
REGISTERED = frozenset({"unknown-layer", "unknown-operation"})
"""Names that mean nothing here may be those of a plugin: while a required one is missing they are not reported."""


@stage("resolve")
def resolve(loaded: Loaded, plugins: Registry) -> ResolvedProgram:
    """Return the program of a loaded spec.

    Raises:
        SpecError: with every name that means nothing, in all files.
    """
    problems: list[Diagnostic] = []
    scope = _resolve_file(loaded, plugins, problems, {})
    inputs, sizes, size_spans = _inputs(loaded, scope, problems)
    model = _model(loaded, scope, problems)
    if model is not None:
        problems.extend(bare_names([model], scope))
    missing = _requirements(loaded, plugins)
    if missing:
        problems = [*missing, *(problem for problem in problems if problem.code not in REGISTERED)]
    if not problems:
        problems.extend(cycles(scope))
    if problems or model is None:
        raise SpecError(_distinct(problems))
    return ResolvedProgram(
        model.name, loaded.document, scope, model, inputs, sizes, size_spans, loaded.document.train
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
        _import(loaded, path, _resolve_file(imported, plugins, problems, done), scope, problems)
    readers = _declare(loaded, scope, problems)
    for name, reader in readers.items():
        body = loaded.document.blocks[reader[0]]
        scope.blocks[name] = reader[1].read(body)
        problems.extend(reader[1].problems)
    problems.extend(bare_names([scope.blocks[name] for name in readers], scope))
    return scope


def _variables(loaded: Loaded, scope: Scope, problems: list[Diagnostic]) -> None:
    written: Mapping[str, Node] = loaded.document.table("vars") if loaded.document.vars else {}
    failed: set[str] = set()
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
            found = check_names(tree, set(scope.variables) - {name}, scope)
            if found:
                raise SpecError(found)
            scope.variables[name] = value_of(tree, scope.variables)
        except SpecError as error:
            problems.extend(error.diagnostics)
            failed.add(name)


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
            scope.blocks[new.text] = source.blocks[wanted]
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


def _inputs(
    loaded: Loaded, scope: Scope, problems: list[Diagnostic]
) -> tuple[tuple[ModelInput, ...], dict[str, int], dict[str, Span]]:
    inputs = []
    sizes: dict[str, int] = {}
    spans: dict[str, Span] = {}
    for name, text in loaded.document.inputs.items():
        try:
            tensor = parse_tensor(text)
        except SpecError as error:
            problems.extend(error.diagnostics)
            continue
        inputs.append(ModelInput(name, tensor))
        for symbol, place in _symbols(tensor, scope):
            sizes.setdefault(symbol, DEFAULT_SIZES.get(symbol, DEFAULT_SIZE))
            spans.setdefault(symbol, place)
    given = loaded.document.keys_of("dims")
    problems.extend(_misspelt(spans, given, scope))
    for name, size in loaded.document.dims.items():
        place = given[name].span
        if name not in sizes and len(inputs) == len(
            loaded.document.inputs
        ):  # else it may be of a refused one
            near = did_you_mean(name, sizes)
            problems.append(
                Diagnostic(
                    "unused-dimension",
                    f"no input has a dimension `{name}`",
                    place,
                    help=f"did you mean `{near}`?" if near else None,
                )
            )
        try:
            sizes[name], spans[name] = _size(name, size, scope), place
        except SpecError as error:
            problems.extend(error.diagnostics)
    return tuple(inputs), sizes, spans


def _misspelt(symbols: Mapping[str, Span], declared: Container[str], scope: Scope) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each open dimension that is probably a variable with a slip in it."""
    for symbol, place in symbols.items():
        near = did_you_mean(symbol, (name for name in scope.variables if _may_be_slip(symbol, name)))
        if near is not None and symbol not in declared and symbol not in DEFAULT_SIZES:
            yield Diagnostic(
                "near-variable",
                f"`{symbol}` would be an open dimension, and there is a variable `{near}`",
                place,
                help=f"did you mean `{near}`? If not, declare the dimension: `dims: {{{symbol}: {DEFAULT_SIZE}}}`",
            )


def _may_be_slip(symbol: str, variable: str) -> bool:
    """Whether one name may be the other, misspelt: short names and numbered ones differ on purpose."""
    numbered = symbol.rstrip("0123456789") == variable.rstrip("0123456789")
    return min(len(symbol), len(variable)) > 2 and abs(len(symbol) - len(variable)) < 2 and not numbered


def _size(name: str, written: Scalar, scope: Scope) -> int:
    """Return the example size of a dimension."""
    expression = parse_expression(written)
    found = check_names(expression, scope.variables, scope)
    if found:
        raise SpecError(found)
    size = evaluate(expression, scope.variables)
    if not (type(size) is int and 0 < size < 2**31):
        message = f"`{name}` is {size!r}, and a size is a whole number from 1 on"
        raise refuse("bad-size", message, written.span, notes=bindings(expression.tree, scope.variables))
    return size


def _symbols(tensor: TensorType, scope: Scope) -> list[tuple[str, Span]]:
    """Return the names in the dimensions of an input that are no variables."""
    return [
        (name, dimension.place)
        for dimension in tensor.dimensions
        for name in sorted(free_names(dimension))
        if name not in scope.variables
    ]


def _model(loaded: Loaded, scope: Scope, problems: list[Diagnostic]) -> Definition | None:
    document = loaded.document
    if document.model is None:
        problems.append(
            Diagnostic(
                "missing-key",
                "the key `model` is missing",
                _top(loaded),
                notes=("a spec without a model can only be imported",),
            )
        )
        return None
    if not document.inputs:
        problems.append(
            Diagnostic(
                "missing-key",
                "the key `inputs` is missing",
                _top(loaded),
                help='declare each input: `inputs: {x: "float[batch, 20]"}`',
            )
        )
        return None
    place = document.at("model")
    names = tuple(Input(name, None, text.span) for name, text in document.inputs.items())
    title = loaded.title
    if title in scope.block_names:
        title += "Model"
    reader = DefinitionReader(title, (), scope, place, names)
    model = reader.read(document.model)
    problems.extend(reader.problems)
    own = read_rules(document, scope, problems, model.variables)
    merged = type(own)(
        (*model.rules.init, *own.init),
        (*model.rules.share, *own.share),
        (*model.rules.freeze, *own.freeze),
        own.placement,
    )
    problems.extend(_single_input(model, names))
    scope.model = Definition(
        model.name,
        (),
        model.variables,
        model.inputs,
        model.body,
        merged,
        scope,
        place,
        document.doc.text if document.doc else model.doc,
    )
    return scope.model


def _top(loaded: Loaded) -> Span:
    return loaded.document.at("spec")


def _single_input(model: Definition, inputs: tuple[Input, ...]) -> list[Diagnostic]:
    """Check that the inputs of the model fit its body."""
    declared = {entry.name for entry in inputs}
    if isinstance(model.body, ModuleBody) and model.body.program is not None:
        return [
            Diagnostic(
                "unknown-input",
                f"the spec declares no input `{entry.name}`",
                entry.span,
                notes=(f"inputs: {', '.join(sorted(declared))}",),
            )
            for entry in model.inputs
            if entry.name not in declared
        ]
    if len(inputs) < 2:
        return []
    return [
        Diagnostic(
            "several-inputs",
            f"a sequence takes one input, and the spec declares {len(inputs)}",
            inputs[1].span,
            help="write the model as `layers:` and a `forward:` program",
        )
    ]


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
