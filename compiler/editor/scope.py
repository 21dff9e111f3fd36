"""The names that a place in a spec sees, read off the text: what does not compile has names too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from compiler.rewriting.rename import parameters_of
from compiler.rewriting.uses import MODEL
from spec_schema.keys import block_name, called, split_key
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.scalars import shorten

NameKind = Literal["variable", "argument", "layer", "tensor", "input", "block", "dimension"]
_NAME = re.compile(r"[A-Za-z_]\w*")
_BINDING = re.compile(
    r"^[ \t]*(?:for )?((?:\w+\s*,\s*)*\w+)\s*(?:[-+*/@%&|^]|//|\*\*)?(?:=(?!=)| in )", re.MULTILINE
)
_DEFAULT_INPUT = "x"


@dataclass(frozen=True)
class Name:
    """A name that means something, with where it is declared."""

    name: str
    kind: NameKind
    place: Scalar
    written: str = ""
    """What it is, as it is written."""


def table(holder: Node | None, key: str) -> Entries | None:
    """Return a mapping under a key."""
    found = holder.get(key) if isinstance(holder, Entries) else None
    return found if isinstance(found, Entries) else None


def body_of(root: Entries, block: str | None) -> tuple[Scalar | None, Node | None]:
    """Return the signature and the body of a block; `model` is one too."""
    if block == MODEL:
        return root.keys_at.get(MODEL), root.get(MODEL)
    blocks = table(root, "blocks") or Entries(root.span)
    for key, at in blocks.keys_at.items():
        if block_name(key) == block:
            return at, blocks[key]
    return None, None


def names_seen(root: Entries, block: str | None) -> dict[str, Name]:
    """Return what the names in a block mean: its own, and those of the file."""
    found = [*_of_file(root), *(_of_block(root, block) if block is not None else ())]
    return {each.name: each for each in found}


def _of_file(root: Entries) -> Iterator[Name]:
    yield from _entries(root, "vars", "variable")
    yield from blocks_of(root)


def blocks_of(root: Entries) -> Iterator[Name]:
    """Yield the blocks of a file, and those that it imports."""
    for items in (table(root, "import") or Entries(root.span)).values():
        for item in items if isinstance(items, Items) else ():
            news = item.values() if isinstance(item, Entries) else [item]
            yield from (Name(each.text, "block", each) for each in news if isinstance(each, Scalar))
    for key, at in (table(root, "blocks") or Entries(root.span)).keys_at.items():
        yield Name(block_name(key), "block", at, key)


def dimensions(root: Entries) -> dict[str, Name]:
    """Return the open dimensions: the names in the shapes of inputs that are no variables."""
    variables = {*(table(root, "vars") or ())}
    found: dict[str, Name] = {}
    for value in (table(root, "inputs") or Entries(root.span)).values():
        shape = value.text.partition("[")[2] if isinstance(value, Scalar) else ""
        for name in _NAME.findall(shape):
            if isinstance(value, Scalar) and name not in variables:
                found.setdefault(name, Name(name, "dimension", value, value.text))
    declared = table(root, "dims") or Entries(root.span)
    for name, at in declared.keys_at.items():
        found[name] = Name(name, "dimension", at, written(declared[name]))
    return found


def _of_block(root: Entries, block: str | None) -> Iterator[Name]:
    signature, body = body_of(root, block)
    if signature is None:
        return
    for name in parameters_of(signature.text):
        yield Name(name, "argument", signature, signature.text)
    yield from _entries(body, "vars", "argument")
    yield from layers_of(body)
    yield from _entries(body, "parameters", "tensor")
    yield from _entries(body, "buffers", "tensor")
    yield from _inputs(root, block, body)


def layers_of(body: Node | None) -> Iterator[Name]:
    """Yield the layers of a block by what its program calls them."""
    layers = table(body, "layers") or Entries(body.span) if body is not None else None
    for key, at in layers.keys_at.items() if layers is not None else ():
        assert layers is not None
        yield Name(called(key), "layer", at, written(layers[key]))
    for item in body if isinstance(body, Items) else ():
        if isinstance(item, Entries) and len(item) == 1:
            ((key, at),) = item.keys_at.items()
            yield Name(split_key(key)[0], "layer", at, written(item[key]))


def _inputs(root: Entries, block: str | None, body: Node | None) -> Iterator[Name]:
    if block == MODEL:
        yield from _entries(root, "inputs", "input")
        return
    forwards = (
        [at for key, at in body.keys_at.items() if _is_forward(key)] if isinstance(body, Entries) else []
    )
    for at in forwards:
        for name in parameters_of(at.text) if "(" in at.text else [_DEFAULT_INPUT]:
            yield Name(name, "input", at, at.text)


def _is_forward(key: str) -> bool:
    return block_name(key) == "forward"


def _entries(holder: Node | None, key: str, kind: NameKind) -> Iterator[Name]:
    found = table(holder, key)
    for name, at in found.keys_at.items() if found is not None else ():
        assert found is not None
        yield Name(name, kind, at, written(found[name]))


def written(node: Node) -> str:
    """Return a value as it is written, in one line."""
    text = node.text if isinstance(node, Scalar) else node.span.text
    return shorten(" ".join(text.split()))


def word_at(text: str, at: int) -> tuple[str, int]:
    """Return the word that a place is in, and where it begins."""
    start = at
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    end = at
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[start:end], start


def locals_before(text: str) -> Mapping[str, int]:
    """Return the names that a program binds in front of a place, with where each is bound first."""
    found: dict[str, int] = {}
    for match in _BINDING.finditer(text):
        for name in _NAME.finditer(match[1]):
            found.setdefault(name[0], match.start(1) + name.start())
    return found
