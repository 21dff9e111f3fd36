"""Completion inside the texts that are read as Python: calls of layers, programs, initialisers, expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lsprotocol.types import CompletionItemKind as Kind

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
from compiler.catalogue.layer_types import positional
from compiler.catalogue.plugins import Registry
from compiler.editor import offers
from compiler.editor.catalogue import layer_named
from compiler.editor.offers import Offer
from compiler.editor.reading import Spot
from compiler.editor.scope import Name, body_of, layers_of, locals_before, names_seen, table
from compiler.resolve.programs import MODE, NAMESPACES
from compiler.rewriting.rename import parameters_of
from spec_schema.reader import Entries

_DOTTED = re.compile(r"([\w\])\"']+(?:\.\w+)*)\.\w*\Z")
_KEYWORD = re.compile(r"(\w+)\s*=(?!=)")
_CALLEE = re.compile(r"((?:[\w\])]\.)?\w+)\s*\Z")
_STATEMENTS = ("return", "if", "else:", "elif", "for", "while", "pass", "break", "continue")


@dataclass(frozen=True)
class Opened:
    """The innermost call that is not closed in front of a place."""

    name: str
    is_method: bool
    given: tuple[str, ...]
    """The keywords that it has."""
    positional: int
    """How many arguments without a keyword stand in front of the place."""


def opened(before: str) -> Opened | None:
    """Return the call that a place is in."""
    depth, at, quote = 0, len(before), ""
    while at > 0:
        at -= 1
        char = before[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and before.count(char, 0, at + 1) % 2 == 0:
            quote = char
        elif char in ")]}":
            depth += 1
        elif char in "([{":
            depth -= 1
            if depth < 0 and char == "(":
                callee = _CALLEE.search(before[:at])
                name = callee[1] if callee else ""
                given = tuple(_KEYWORD.findall(before[at:]))
                return Opened(name.rpartition(".")[2], "." in name, given, _positional(before[at + 1 :]))
            depth = max(depth, 0)
    return None


def _positional(text: str) -> int:
    """Return how many of the arguments in front of the last comma have no keyword."""
    found, depth, start, quote = 0, 0, 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and not depth:
            found += not _KEYWORD.match(text[start:at].strip())
            start = at + 1
    return found


def _is_value(before: str) -> bool:
    """Return whether a place is behind the `=` of a keyword."""
    return re.search(r"\w\s*=\s*\w*\Z", before) is not None


def _compile_time(root: Entries, block: str | None) -> Iterator[Name]:
    for each in names_seen(root, block).values():
        if each.kind in ("variable", "argument"):
            yield each


def in_layer(root: Entries, spot: Spot, plugins: Registry) -> Iterator[Offer]:
    """Yield what may stand in a layer position: layers, or arguments of the one that is being written."""
    block, call = spot.use.block, opened(spot.before)
    if call is not None:
        if not _is_value(spot.before):
            yield from _arguments(root, call, plugins)
        yield from in_expression(root, spot, plugins)
        return
    yield from offers.names(names_seen(root, block).values())
    yield from offers.layers(plugins)
    yield from offers.operations(plugins)


def _arguments(root: Entries, call: Opened, plugins: Registry) -> Iterator[Offer]:
    signature, _ = body_of(root, call.name)
    layer = layer_named(call.name, plugins)
    if signature is not None:
        yield from offers.arguments(parameters_of(signature.text)[call.positional :], call.given, call.name)
    elif layer is not None:
        first = (each.name for each in positional(layer)[: call.positional])
        yield from offers.arguments_of_layer(layer, {*call.given, *first})
    else:
        yield from offers.arguments_of_operation(call.name, call.given, call.is_method)


def in_expression(root: Entries, spot: Spot, plugins: Registry) -> Iterator[Offer]:
    """Yield what an expression over numbers may name."""
    if "repeat" in spot.use.path or spot.use.kind == "sequence":
        yield Offer("index", Kind.Variable, "the number of the copy", "1")
    yield from offers.names(_compile_time(root, spot.use.block))
    yield from offers.numbers()


def in_initializer(root: Entries, spot: Spot, plugins: Registry) -> Iterator[Offer]:
    """Yield what may give first values, or the arguments of the initialiser that is being written."""
    call = opened(spot.before)
    if call is None:
        yield from offers.initializers(plugins)
    elif call.name in INITIALIZER_ARGUMENTS:
        first = tuple(INITIALIZER_ARGUMENTS[call.name])[: call.positional]
        yield from offers.arguments_of_initializer(
            call.name, (*call.given, *first) if not _is_value(spot.before) else INITIALIZER_ARGUMENTS
        )
    yield from in_expression(root, spot, plugins)


def in_program(root: Entries, spot: Spot, plugins: Registry) -> Iterator[Offer]:
    """Yield what may stand in a program."""
    before, seen = spot.before, names_seen(root, spot.use.block)
    dotted = _DOTTED.search(before)
    if dotted is not None and not dotted[1].isdigit():
        yield from _behind_dot(root, dotted[1], seen, plugins)
        return
    call = opened(before)
    if call is not None and not _is_value(before):
        yield from _inputs(root, call, seen, plugins)
    for name in locals_before(before):
        yield Offer(name, Kind.Variable, "a value of the program", "0")
    yield from offers.names(each for each in seen.values() if each.kind != "block")
    yield from offers.operations(plugins)
    yield from offers.numbers()
    yield from offers.constants()
    yield Offer(MODE, Kind.Constant, "whether the model trains", "3")
    if not before.rpartition("\n")[2].strip() or re.fullmatch(r"\s*\w+", before.rpartition("\n")[2]):
        yield from (Offer(word, Kind.Keyword, "", "3") for word in _STATEMENTS)


def _behind_dot(root: Entries, owner: str, seen: dict[str, Name], plugins: Registry) -> Iterator[Offer]:
    """Yield what an owner has: operations of a namespace, parts of a layer, or methods of a tensor."""
    if owner in NAMESPACES and owner not in seen:
        yield from offers.operations(plugins, owner)
        return
    known = seen.get(owner)
    if known is None or known.kind != "layer":
        yield from offers.methods()
        return
    name = known.written.partition("(")[0]
    _, body = body_of(root, name)
    if body is not None:
        yield from offers.names(layers_of(body))
        for key in ("parameters", "buffers"):
            yield from offers.words(table(body, key) or (), key.removesuffix("s"))
        return
    layer = layer_named(name, plugins)
    yield from offers.words(_tensors(layer.cls) if layer is not None else (), "a parameter of it")


def _tensors(cls: type) -> list[str]:
    """Return the names of the tensors of a layer, as far as its class says them."""
    return [name for name in getattr(cls, "__annotations__", {}) if name in ("weight", "bias")] or [
        "weight",
        "bias",
    ]


def _inputs(root: Entries, call: Opened, seen: dict[str, Name], plugins: Registry) -> Iterator[Offer]:
    """Yield the inputs of the layer that is called, or the arguments of the operation."""
    known = seen.get(call.name)
    if known is None or known.kind != "layer" or call.is_method:
        yield from offers.arguments_of_operation(call.name, call.given, call.is_method)
        return
    _, body = body_of(root, known.written.partition("(")[0])
    forward = (
        next((key for key in body if key.startswith("forward")), None) if isinstance(body, Entries) else None
    )
    inputs = parameters_of(forward)[call.positional :] if forward else ()
    yield from offers.arguments(inputs, call.given, call.name)
