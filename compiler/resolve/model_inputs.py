"""The inputs of the model, and the example sizes of their open dimensions."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from compiler.program import ModelInput, Scope
from compiler.resolve.values import check_names, free_names
from spec_schema.bounds import bindings
from spec_schema.diagnostics import Diagnostic, SpecError, refuse
from spec_schema.document import Document
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.tensors import TensorType, parse_tensor

DEFAULT_SIZES = {"batch": 2}
DEFAULT_SIZE = 16


def read_inputs(
    document: Document, scope: Scope, problems: list[Diagnostic]
) -> tuple[tuple[ModelInput, ...], dict[str, int], dict[str, Span]]:
    """Return the inputs of the model, and of each open dimension the example size and where it is declared."""
    inputs = []
    sizes: dict[str, int] = {}
    spans: dict[str, Span] = {}
    for name, text in document.inputs.items():
        try:
            tensor = parse_tensor(text)
        except SpecError as error:
            problems.extend(error.diagnostics)
            continue
        inputs.append(ModelInput(name, tensor))
        for symbol, place in _symbols(tensor, scope):
            sizes.setdefault(symbol, DEFAULT_SIZES.get(symbol, DEFAULT_SIZE))
            spans.setdefault(symbol, place)
    given = document.keys_of("dims")
    problems.extend(_misspelt(spans, given, scope))
    for name, size in document.dims.items():
        place = given[name].span
        if name not in sizes and len(inputs) == len(document.inputs):  # else it may be of a refused one
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
            sizes[name], spans[name] = _checked_size(name, size, scope), place
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
    """Return whether one name may be the other, misspelt: short names and numbered ones differ on purpose."""
    numbered = symbol.rstrip("0123456789") == variable.rstrip("0123456789")
    return min(len(symbol), len(variable)) > 2 and abs(len(symbol) - len(variable)) < 2 and not numbered


def _checked_size(name: str, written: Scalar, scope: Scope) -> int:
    """Return the example size of a dimension."""
    found = check_names(parse_expression(written), scope.variables, scope)
    if found:
        raise SpecError(found)
    return size_of(name, written, scope.variables)


def size_of(name: str, written: Scalar, variables: Mapping[str, object]) -> int:
    """Return the example size that the spec gives for a dimension, at some values of its variables."""
    expression = parse_expression(written)
    size = evaluate(expression, variables)
    if not (type(size) is int and 0 < size < 2**31):
        message = f"`{name}` is {size!r}, and a size is a whole number from 1 on"
        raise refuse("bad-size", message, written.span, notes=bindings(expression.tree, variables))
    return size


def _symbols(tensor: TensorType, scope: Scope) -> list[tuple[str, Span]]:
    """Return the names in the dimensions of an input that are no variables."""
    return [
        (name, dimension.place)
        for dimension in tensor.dimensions
        for name in sorted(free_names(dimension))
        if name not in scope.variables
    ]
