"""What may be written somewhere: offers by name, each with what it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lsprotocol.types import CompletionItemKind as Kind

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
from compiler.catalogue.initializer_table import REQUIRED as NEEDED
from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.operation_table import ATTRIBUTES, CONSTANTS, FUNCTIONS, METHODS, RESULTS
from compiler.catalogue.operations import method_available, method_signature
from compiler.catalogue.operations import signature as signature_of
from compiler.catalogue.parametrization_table import PARAMETRIZATIONS
from compiler.catalogue.plugins import Registry
from compiler.devices import AUTO
from compiler.editor.catalogue import (
    all_layers,
    argument_text,
    layer_named,
    required,
    signature,
    torch_operations,
)
from compiler.editor.scope import Name
from compiler.rewriting.rename import parameters_of
from spec_schema.evaluate import FUNCTIONS as NUMBER_FUNCTIONS
from spec_schema.tensors import DTYPES

_KINDS = {
    "variable": Kind.Constant,
    "argument": Kind.Variable,
    "layer": Kind.Field,
    "tensor": Kind.Property,
    "input": Kind.Variable,
    "block": Kind.Class,
    "dimension": Kind.TypeParameter,
}
_NEAR, _NAMES, _CATALOGUE, _REST = "0", "1", "2", "3"
"""Groups, in the order in which they are shown."""


@dataclass(frozen=True)
class Offer:
    """Something that may be written. `snippet` has `$1` where the cursor is then."""

    label: str
    kind: Kind
    detail: str = ""
    group: str = _NAMES
    snippet: str | None = None
    about: str | None = None
    """The name in the catalogue, of which there is more to say."""


def keys(known: Mapping[str, str], taken: Iterable[str]) -> Iterator[Offer]:
    """Yield keys that are not there yet."""
    for key, about in known.items():
        if key not in taken:
            yield Offer(key, Kind.Keyword, about, _NEAR, f"{key}: $0")


def names(found: Iterable[Name]) -> Iterator[Offer]:
    """Yield names of the spec."""
    for each in found:
        detail = each.written if each.kind != "block" else f"block {each.written or each.name}"
        snippet = f"{each.name}($1)" if each.kind == "block" and parameters_of(each.written) else None
        yield Offer(each.name, _KINDS[each.kind], detail or each.kind, _NAMES, snippet)


def layers(plugins: Registry) -> Iterator[Offer]:
    """Yield all layers."""
    for name in all_layers(plugins):
        yield _layer(name, plugins)


def _layer(name: str, plugins: Registry) -> Offer:
    layer = layer_named(name, plugins)
    assert layer is not None
    snippet = f"{name}($1)" if required(layer) else None
    return Offer(name, Kind.Class, signature(layer), _CATALOGUE, snippet, name)


def operations(plugins: Registry, namespace: str = "") -> Iterator[Offer]:
    """Yield the operations, or those of a namespace such as `fft`."""
    for name in (*plugins.operations, *torch_operations()):
        space, _, last = name.rpartition(".")
        if space == namespace:
            yield Offer(last, Kind.Function, FUNCTIONS.get(name, "of a plugin"), _REST, f"{last}($1)", name)


def methods() -> Iterator[Offer]:
    """Yield what stands behind the dot of a tensor."""
    for name in sorted(METHODS):
        if method_available(name):
            yield Offer(name, Kind.Method, f"torch.Tensor.{name}", _CATALOGUE, f"{name}($1)", f".{name}")
    for name in (*sorted(ATTRIBUTES), *RESULTS):
        yield Offer(name, Kind.Property, "attribute", _NEAR if name in ("shape", "dtype") else _REST)


def arguments_of_layer(layer: LayerType, given: Iterable[str]) -> Iterator[Offer]:
    """Yield the arguments of a layer that are not given yet; what follows from the input comes last."""
    for each in layer.arguments:
        if each.name not in given:
            group = _NEAR if each.deferred is None else _REST
            yield Offer(f"{each.name}=", Kind.Variable, argument_text(each), group)


def arguments(found: Iterable[str], given: Iterable[str], of: str) -> Iterator[Offer]:
    """Yield arguments by their names."""
    for name in found:
        if name not in given:
            yield Offer(f"{name}=", Kind.Variable, f"argument of {of}", _NEAR)


def arguments_of_operation(name: str, given: Iterable[str], method: bool) -> Iterator[Offer]:
    """Yield the arguments of an operation of torch, or of a method."""
    if method and name in METHODS and method_available(name):
        yield from arguments(method_signature(name).keywords(), given, name)
    elif not method and name in torch_operations():
        yield from arguments(signature_of(name).keywords(), given, name)


def initializers(plugins: Registry) -> Iterator[Offer]:
    """Yield what may give first values."""
    for name, taken in INITIALIZER_ARGUMENTS.items():
        given = ", ".join(key if each is NEEDED else f"{key}={each!r}" for key, each in taken.items())
        needed = any(each is NEEDED for each in taken.values())
        snippet = f"{name}($1)" if needed else None
        yield Offer(name, Kind.Function, f"{name}({given})", _NEAR, snippet, name)
    for name in plugins.initializers:
        yield Offer(name, Kind.Function, "of a plugin", _NEAR, f"{name}($1)")
    yield Offer("copy", Kind.Function, "the first values of another tensor", _CATALOGUE, "copy($1)")
    yield Offer("checkpoint", Kind.Function, "values of a file", _CATALOGUE, "checkpoint('$1')")


def arguments_of_initializer(name: str, given: Iterable[str]) -> Iterator[Offer]:
    """Yield the arguments of an initialiser, and what it may ask of its tensor."""
    yield from arguments(INITIALIZER_ARGUMENTS[name], given, name)
    for fact in ("fan_in", "fan_out"):
        yield Offer(fact, Kind.Constant, "of the tensor that gets the values", _NAMES)


def numbers() -> Iterator[Offer]:
    """Yield the functions that expressions over numbers may call."""
    for name in NUMBER_FUNCTIONS:
        yield Offer(name, Kind.Function, f"{name}(...)", _REST, f"{name}($1)")


def words(found: Iterable[str], detail: str, kind: Kind = Kind.Value) -> Iterator[Offer]:
    """Yield plain words."""
    for word in found:
        yield Offer(word, kind, detail, _NEAR)


def dtypes() -> Iterator[Offer]:
    """Yield what tensors are made of."""
    yield from (Offer(name, Kind.TypeParameter, "dtype", _NEAR, f"{name}[$1]") for name in DTYPES)


def devices() -> Iterator[Offer]:
    """Yield the usual devices."""
    yield from words((AUTO, "cpu", "cuda", "cuda:0", "cuda:1", "mps", "xpu"), "device")


def parametrizations(plugins: Registry) -> Iterator[Offer]:
    """Yield what tensors can be made by."""
    for name in (*PARAMETRIZATIONS, *plugins.parametrizations):
        yield Offer(name, Kind.Function, "parametrisation", _NEAR, about=name)


def constants() -> Iterator[Offer]:
    """Yield the values that programs may name."""
    yield from (Offer(name, Kind.Constant, path, _REST) for name, path in CONSTANTS.items())
