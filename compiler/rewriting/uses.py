"""The scalars of a spec, each with what its text is, and the block that it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from spec_schema.formatting.order import Kind, kind_of, position_below
from spec_schema.keys import block_name
from spec_schema.reader import Entries, Items, Node, Scalar

Role = Literal["name", "variable", "signature", "layer", "code", "selector", "template", "text"]
"""What a text is: `layer` is the key of a layer or tensor, `code` an expression or a program."""

MODEL, TRAIN = "model", "train"
_EXPRESSIONS_OF_DATA = ("context", "test", "validation", "workers", "transform")
_SELECTORS = ("share", "freeze", "watch", "skip", "transpose")
_TEXTS = (
    "doc",
    "name",
    "requires",
    "import",
    "spec",
    "data",
    "precision",
    "log",
    "prefix",
    "checkpoint",
    "rename",
)


_CHECKPOINT = ("rename", "transpose", "split", "stack", "skip", "prefix")


class Use(NamedTuple):
    """A scalar, what it is, and the block that it stands in: `model`, `train`, or None outside of them."""

    scalar: Scalar
    role: Role
    block: str | None
    owner: Entries | Items | None
    """What it is a key of."""
    in_checkpoint: bool = False
    """Whether it says how a checkpoint is read."""
    kind: Kind = "value"
    """What it is, or the mapping that it is a key of."""
    path: tuple[str, ...] = ()
    """The keys that lead to it, or to what it is a key of."""


def uses(root: Entries) -> Iterator[Use]:
    """Yield all scalars of a document."""
    yield from _walk(root, "document", None, "", ())


def _walk(
    node: Node, position: Kind, block: str | None, section: str, path: tuple[str, ...]
) -> Iterator[Use]:
    kind = kind_of(position, node if isinstance(node, Entries) else None)
    place = (section in _CHECKPOINT, kind, path)
    if isinstance(node, Scalar):
        yield Use(node, _role_of_value(kind, section), block, None, *place)
    elif isinstance(node, Items):
        for item in node:
            yield from _walk(item, position_below(kind, None), block, section, path)
    else:
        for key, at in node.keys_at.items():
            yield Use(at, _role_of_key(kind, key, section), block, node, *place)
            inside = block_name(key) if kind == "blocks" else block
            if kind == "document" and key in (MODEL, TRAIN):
                inside = key
            section_below = _section_below(kind, key, section)
            yield from _walk(node[key], position_below(kind, key), inside, section_below, (*path, key))


def _section_below(kind: Kind, key: str, section: str) -> str:
    """Return the key that tells what the texts below a key are."""
    if kind == "condition":
        return "if" if key == "if" else section
    if kind == "data":
        return key if key in _EXPRESSIONS_OF_DATA else "data"
    if kind == "value" and section == "presets":
        return "preset"
    return section if kind in ("value", "rules", "groups", "rule") else key


def _role_of_key(kind: Kind, key: str, section: str) -> Role:
    if kind == "blocks":
        return "signature"
    if kind in ("layers", "tensors"):
        return "layer"
    if kind == "named":
        return "template" if "{" in key else "layer"
    if kind == "rule" or section in ("groups", "optimizer"):
        return "selector"
    if kind == "value" and section in ("vars", "preset"):
        return "variable"
    return "name"


def _role_of_value(kind: Kind, section: str) -> Role:
    if section in _SELECTORS:
        return "selector"
    if section in _TEXTS:
        return "template" if section == "name" and kind == "value" else "text"
    return "code"
