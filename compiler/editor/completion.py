"""Completion: what may stand at a place, by what stands around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsprotocol.types import CompletionItem, CompletionItemKind, InsertTextFormat, Position, Range, TextEdit

from compiler.catalogue.plugins import Registry
from compiler.editor import offers
from compiler.editor.catalogue import layer_named
from compiler.editor.document import Document
from compiler.editor.in_code import in_expression, in_initializer, in_layer, in_program
from compiler.editor.keys import KEYS, keys_beside
from compiler.editor.offers import Offer
from compiler.editor.reading import Spot, readable, spot_to_complete
from compiler.editor.scope import blocks_of, body_of, dimensions, layers_of, names_seen, table
from compiler.rewriting.uses import MODEL
from compiler.training.calls import Table, metrics, optimizers, schedules
from spec_schema.keys import block_name
from spec_schema.reader import Entries, Scalar
from spec_schema.tensors import DTYPES

_WORD = re.compile(r"\w*\Z")
_FILE = re.compile(r"[\w./-]*\Z")
_SELECTORS = ("share", "freeze", "units", "recompute", "watch", "skip", "transpose")
_NAMED_BY_PEOPLE = ("document", "blocks", "layers", "tensors", "named", "body", "node")
"""Mappings in whose place a value stands while its first key is typed."""
_PARAMETERS = ("weight", "bias")


@dataclass(frozen=True)
class Asked:
    """A place that is to be completed: what stands there, and the names of the whole spec."""

    spot: Spot
    root: Entries
    plugins: Registry
    folder: Path


def completion(
    document: Document, position: Position, plugins: Registry, has_snippets: bool
) -> list[CompletionItem]:
    """Return what may stand at a place of a text."""
    offset = document.places.offset(position)
    spot = spot_to_complete(document.text, offset, document.name)
    if spot is None:
        return []
    root = document.root or document.read() or spot.root
    asked = Asked(spot, _with_block(root, spot), plugins, document.path.parent)
    found = {each.label: each for each in _offers(asked)}
    line = document.text[document.text.rfind("\n", 0, offset) + 1 : offset]
    pattern = _FILE if spot.use.path[:1] == ("import",) and spot.is_key else _WORD
    word = pattern.search(line)
    prefix = word[0] if word is not None else ""
    where = Range(document.places.position(offset - len(prefix)), position)
    rest = document.text[offset : offset + 1]
    return [_item(each, where, has_snippets and rest not in ("(", ":")) for each in found.values()]


def _with_block(root: Entries, spot: Spot) -> Entries:
    """Return the spec with the block that is typed in as it is now."""
    blocks, new = table(root, "blocks"), table(spot.root, "blocks")
    if root is spot.root or blocks is None or new is None:
        return root
    made, merged = Entries(root.span), Entries(blocks.span)
    names = {block_name(key) for key in new}
    for each, keep in ((blocks, lambda key: block_name(key) not in names), (new, lambda key: True)):
        for key in filter(keep, each):
            merged[key], merged.keys_at[key] = each[key], each.keys_at[key]
    made.update({**root, "blocks": merged})
    made.keys_at.update(root.keys_at)
    return made


def _item(offer: Offer, where: Range, has_snippets: bool) -> CompletionItem:
    is_snippet = has_snippets and offer.snippet is not None
    text = offer.snippet if is_snippet and offer.snippet is not None else offer.label
    return CompletionItem(
        label=offer.label,
        kind=offer.kind,
        detail=offer.detail or None,
        sort_text=f"{offer.group}{offer.label}",
        text_edit=TextEdit(where, text),
        insert_text_format=InsertTextFormat.Snippet if is_snippet else InsertTextFormat.PlainText,
        data=offer.about,
    )


def _offers(asked: Asked) -> Iterator[Offer]:
    spot, path = asked.spot, asked.spot.use.path
    if spot.is_key:
        yield from _keys(asked)
    elif spot.use.role == "selector" or (spot.use.kind in ("rule", "groups") and path[-1:] != ("then",)):
        yield from _selectors(asked)
    elif spot.use.kind in ("sequence", "list"):
        yield from in_layer(asked.root, spot, asked.plugins)
        if spot.use.kind == "list" and path[-1:] and "(" not in spot.before:
            yield from offers.keys(KEYS["body"], ())
    elif spot.use.kind not in _NAMED_BY_PEOPLE:
        yield from _values(asked)


def _keys(asked: Asked) -> Iterator[Offer]:
    use, root = asked.spot.use, asked.root
    owner = use.owner if isinstance(use.owner, Entries) else Entries(use.scalar.span)
    taken = [key for key in owner if key != use.scalar.text]
    if use.role == "selector" or use.kind == "rule":
        yield from _selectors(asked)
    elif use.path[:1] == ("presets",) and len(use.path) == 2:
        yield from offers.names(each for each in names_seen(root, None).values() if each.kind == "variable")
    elif use.path == ("dims",):
        yield from offers.names(each for name, each in dimensions(root).items() if name not in taken)
    elif use.path == ("import",):
        yield from _files(asked.folder)
    elif use.kind == "node" and "layer" in owner:
        yield from _long_arguments(asked, owner)
    else:
        known = {**keys_beside(use.kind, taken)}
        if use.kind == "named" and len(use.path) <= 2 and not taken:
            known = {**KEYS["body"], **known}
        yield from offers.keys(known, taken)


def _long_arguments(asked: Asked, owner: Entries) -> Iterator[Offer]:
    """Yield the arguments of a layer that is written as a mapping."""
    name = owner["layer"]
    layer = layer_named(name.text, asked.plugins) if isinstance(name, Scalar) else None
    for each in offers.arguments_of_layer(layer, owner) if layer is not None else ():
        key = each.label.rstrip("=")
        yield Offer(key, each.kind, each.detail, each.group, f"{key}: $0")


def _files(folder: Path) -> Iterator[Offer]:
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*/*.yaml")])[:200]:
        name = path.relative_to(folder).as_posix()
        yield Offer(name, CompletionItemKind.File, "a spec", "0", f"{name}: [$1]")


def _selectors(asked: Asked) -> Iterator[Offer]:
    """Yield the names of layers, the types of layers, and the names of parameters."""
    bodies = [body_of(asked.root, MODEL)[1], *(table(asked.root, "blocks") or {}).values()]
    own = body_of(asked.root, asked.spot.use.block)[1] if asked.spot.use.block else None
    for body in [own] if own is not None else bodies:
        yield from offers.names(layers_of(body))
    yield from offers.words(_PARAMETERS, "a parameter")
    yield from offers.names(blocks_of(asked.root))
    yield from (
        Offer(each.label, each.kind, each.detail, each.group) for each in offers.layers(asked.plugins)
    )


def _values(asked: Asked) -> Iterator[Offer]:
    spot, root, plugins = asked.spot, asked.root, asked.plugins
    path = spot.use.path
    last, top = block_name(path[-1]) if path else "", path[0] if path else ""
    if last in ("forward", "transform", "loss") or (last == "value" and "\n" in spot.use.scalar.text):
        yield from in_program(root, spot, plugins)
    elif top == "inputs" or (len(path) > 1 and path[-2] in ("parameters", "buffers")) or last == "tensor":
        yield from _tensor(asked)
    elif top == "import":
        yield from _imported(asked, path[-1])
    elif top == "placement" or last in ("device", "dtype"):
        yield from offers.words(DTYPES, "dtype") if last == "dtype" else offers.devices()
    elif top == "parametrize":
        yield from offers.parametrizations(plugins)
    elif "init" in path:
        yield from in_initializer(root, spot, plugins)
    elif last == "combine":
        yield from (
            each for each in offers.operations(plugins) if each.label in ("add", "cat", "stack", "mul")
        )
    elif top == "train":
        yield from _train(asked, path)
    elif last in ("persistent", "updated", "shuffle", "report", "tensorboard", "local_statistics"):
        yield from offers.words(("true", "false"), "")
    else:
        yield from in_expression(root, spot, plugins)


def _tensor(asked: Asked) -> Iterator[Offer]:
    if "[" not in asked.spot.before:
        yield from offers.dtypes()
        return
    yield from offers.names(dimensions(asked.root).values())
    seen = names_seen(asked.root, asked.spot.use.block).values()
    yield from offers.names(each for each in seen if each.kind in ("variable", "argument"))


def _imported(asked: Asked, file: str) -> Iterator[Offer]:
    """Yield the blocks of another file."""
    path = asked.folder / file
    if path.is_file() and (found := readable(path.read_text("utf-8", "replace"), file)) is not None:
        for each in blocks_of(found):
            yield Offer(each.name, CompletionItemKind.Class, each.written or each.name, "0")


def _train(asked: Asked, path: tuple[str, ...]) -> Iterator[Offer]:
    known: Table | None = None
    match path[1:2]:
        case ("optimizer",):
            known = optimizers()
        case ("schedule",):
            known = schedules()
        case ("metrics",) if _has_metrics():
            known = metrics()
        case ("precision",):
            yield from offers.words(("32-true", "16-mixed", "bf16-mixed"), "precision")
        case _:
            yield from in_expression(asked.root, asked.spot, asked.plugins)
    for name in known.targets if known is not None and "(" not in asked.spot.before else ():
        yield Offer(name, CompletionItemKind.Class, path[1], "0", f"{name}($1)")
    if known is not None and "(" in asked.spot.before:
        yield from in_expression(asked.root, asked.spot, asked.plugins)


def _has_metrics() -> bool:
    from compiler.extras import TRAIN

    return not TRAIN.missing()
