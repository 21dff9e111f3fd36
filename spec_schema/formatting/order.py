"""The order in which the keys of a spec stand in its canonical form, by what each mapping of a document is.

Only keys that the language knows are moved. Names that people give (of blocks, layers, variables, inputs) stay in their
order, which means something.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

from spec_schema.layer_nodes import NODE_KEYS

Kind: TypeAlias = str
"""What a value of a document is, such as `body`, `node` or `rules`; `value` is plain data."""

OTHERS = "*"
"""Stands for the keys that an order does not name."""
_RULES = ("share", "init", "freeze")
_REPEAT = ("repeat", "as", "index", "running")
_SOURCE = ("file", "folder", "text", "dataset", "context")
_ORDERS: dict[Kind, tuple[str, ...]] = {
    "document": (
        *(
            "spec",
            "name",
            "doc",
            "import",
            "requires",
            "vars",
            "presets",
            "inputs",
            "dims",
            "blocks",
            "model",
        ),
        *(*_RULES, "placement", "parametrize", "mesh", "train"),
    ),
    "body": ("doc", "vars", "extends", "layers", "parameters", "buffers", *_RULES, OTHERS),
    "node": (
        *(
            *_REPEAT,
            "parallel",
            "residual",
            "if",
            "layer",
            OTHERS,
            "of",
            "then",
            "splice",
            "combine",
            "name",
            "else",
        ),
    ),
    "tensor": ("tensor", "init", "value", "persistent", "updated"),
    "ruled": ("device", "dtype", "checkpoint", "prefix", "rename", "transpose", "split", "stack", "skip"),
    "condition": ("if", "then"),
    "mesh": (
        "axes",
        "shard",
        "replicate",
        "units",
        "split",
        "local",
        "recompute",
        "sync_statistics",
        "local_statistics",
    ),
    "train": (
        *(
            "data",
            "loss",
            "optimizer",
            "groups",
            "schedule",
            "warmup",
            "batch",
            "accumulate",
            "epochs",
            "steps",
        ),
        *("clip", "ema", "metrics", "monitor", "early_stopping", "precision", "watch", "log"),
    ),
    "data": (
        *(*_SOURCE, OTHERS, "test", "validation", "stratify", "group", "shuffle", "weights", "workers"),
        "transform",
    ),
    "metric": ("metric", "of", "mode"),
    "stopping": ("patience", "min_delta"),
    "log": ("report", "tensorboard"),
}
_BELOW: dict[Kind, dict[str, Kind]] = {
    "document": {
        **{"blocks": "blocks", "model": "body", "inputs": "inputs", "mesh": "mesh", "train": "train"},
        **{
            "init": "rules",
            "placement": "rules",
            "parametrize": "rules",
            "freeze": "groups",
            "share": "groups",
        },
    },
    "body": {
        **{"extends": "node", "layers": "layers", "parameters": "tensors", "buffers": "tensors"},
        **{"init": "rules", "freeze": "groups", "share": "groups"},
    },
    "node": {
        **{"of": "node", "then": "node", "splice": "node", "else": "node", "residual": "node"},
        "parallel": "branches",
    },
    "condition": {"then": "rules"},
    "mesh": {"split": "rules"},
    "train": {
        **{
            "data": "data",
            "metrics": "metrics",
            "monitor": "metric",
            "early_stopping": "stopping",
            "log": "log",
        },
    },
}
_EACH: dict[Kind, Kind] = {
    **{
        "blocks": "body",
        "layers": "node",
        "tensors": "tensor",
        "list": "node",
        "sequence": "node",
        "named": "node",
    },
    **{"rules": "rule", "rule": "ruled", "groups": "groups", "metrics": "metric"},
}
"""What all values of a mapping or a list are."""


def kind_of(position: Kind, keys: Collection[str] | None) -> Kind:
    """Return what a value is, in a position that may hold one of several; `keys` are those of a mapping."""
    if keys is None:
        return {"body": "list", "node": "sequence", "branches": "sequence"}.get(position, position)
    if position in ("body", "node"):
        form = next((key for key in NODE_KEYS if key in keys), None)
        return "node" if form else "body" if position == "body" else "named"
    if position == "branches":
        return "layers"
    conditional = "if" in keys or "then" in keys
    return "condition" if position in ("groups", "rule") and conditional else position


def position_below(kind: Kind, key: str | None) -> Kind:
    """Return the position of the value of a key, or of an item of a list, in a value of some kind."""
    if kind in _EACH:
        return _EACH[kind]
    return "value" if key is None else _BELOW.get(kind, {}).get(key, "value")


def order_of(kind: Kind, key: str) -> int:
    """Return the place of a key in a mapping of some kind."""
    order = _ORDERS.get(kind, ())
    other = order.index(OTHERS) if OTHERS in order else len(order)
    return order.index(key) if key in order else other


def in_order(value: Any, position: Kind = "document") -> Any:
    """Return a plain value of a document with the keys of its mappings in their order."""
    kind = kind_of(position, value if isinstance(value, dict) else None)
    if isinstance(value, list):
        return [in_order(each, position_below(kind, None)) for each in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: order_of(kind, key))
    return {key: in_order(value[key], position_below(kind, key)) for key in keys}
