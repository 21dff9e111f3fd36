"""Validates a positioned document with pydantic, and makes located diagnostics of what pydantic finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.document import Document
from spec_schema.keys import written_problem
from spec_schema.layer_nodes import NODE_KEYS
from spec_schema.names import name_problem
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.records import strangers
from spec_schema.scalars import shorten
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean


def validate(node: Node) -> Document:
    """Return the document that a positioned value describes.

    Raises:
        SpecError: with every place where the value has not the form of a spec.
    """
    found: list[tuple[Scalar, list[str]]] = []
    token = strangers.set(found)
    problems: list[Diagnostic] = []
    document = None
    try:
        document = Document.model_validate(node)
    except ValidationError as error:
        problems = _diagnostics(error, node)
    finally:
        strangers.reset(token)
    problems = _without_slips(problems, found) + [_unknown_key(key, known) for key, known in found]
    if document is not None and document.spec.value != 1:
        problems.append(
            Diagnostic(
                "unknown-version",
                f"language version {document.spec.value} is not known",
                document.spec.span,
                help="write `spec: 1`",
            )
        )
    if document is None or problems:
        raise SpecError(problems)
    return document


def _diagnostics(error: ValidationError, root: Node) -> list[Diagnostic]:
    """Make one diagnostic of each pydantic error, dropping what a union only repeats."""
    found: dict[tuple[str, str], Diagnostic] = {}
    for item in error.errors(include_url=False):
        diagnostic = _diagnostic(item, root)
        found.setdefault((diagnostic.code, str(diagnostic.span)), diagnostic)
    return list(found.values())


def _without_slips(problems: list[Diagnostic], found: list[tuple[Scalar, list[str]]]) -> list[Diagnostic]:
    """Drop a missing key where a key that is misspelt is what was meant."""
    meant = {did_you_mean(key.text, known) for key, known in found}
    if "splice" in meant:
        meant |= {"of", "then"}
    slips = [_missing(near) for near in meant]
    return [p for p in problems if not (p.code == "missing-key" and p.message in slips)]


def _diagnostic(item: Any, root: Node) -> Diagnostic:
    place = _Place.find(root, item["loc"])
    match item["type"]:
        case "missing":
            return _missing_key(place, str(item["loc"][-1]))
        case "item-keys":
            return _strange_item(place)
        case "bad-name":
            problem = name_problem(place.text, place.span)
            assert problem is not None
            return problem
        case "bad-key":
            assert place.key is not None
            problem = written_problem(place.key)
            assert problem is not None
            return problem
    wanted = {"dict_type": "a mapping", "list_type": "a list"}.get(item["type"])
    return _wrong_type(place, wanted or item.get("ctx", {}).get("what", "another form"))


class _Place:
    """A place in the positioned tree, found from a pydantic `loc`, which holds tags of unions too."""

    def __init__(self, node: Node, keys: Sequence[Scalar], key: Scalar | None, is_key: bool) -> None:
        self.node, self.keys, self.key, self.is_key = node, keys, key, is_key

    @classmethod
    def find(cls, root: Node, loc: Sequence[str | int]) -> _Place:
        node, key = root, None
        keys: list[Scalar] = []
        for step in loc:
            if step == "[key]":
                return cls(node, keys, key, is_key=True)
            if isinstance(node, Entries) and step in node:
                key = node.keys_at[str(step)]
                keys.append(key)
                node = node[str(step)]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
                node, key = node[step], None
        return cls(node, keys, key, is_key=False)

    @property
    def span(self) -> Span:
        """The value if it stands on one line, else its key, else its first line."""
        span = self.node.span
        below = self.key is not None and ("\n" in span.text or span.line != self.key.span.line)
        if self.key is not None and (self.is_key or below or span.start >= span.end):
            return self.key.span
        return _first_line(span)

    @property
    def owner(self) -> Span:
        """The key of a mapping, or its first line: where to say what is missing in it."""
        return self.key.span if self.key is not None else _first_line(self.node.span)

    @property
    def text(self) -> str:
        if self.is_key and self.key is not None:
            return self.key.text
        return self.node.text if isinstance(self.node, Scalar) else ""

    @property
    def found(self) -> str:
        """What stands there, in words."""
        if isinstance(self.node, Entries):
            return "a mapping"
        if isinstance(self.node, Items):
            return "a list"
        names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
        return names.get(type(self.node.value), "empty")


def _first_line(span: Span) -> Span:
    length = len(span.text.split("\n")[0].rstrip())
    end = min(span.start + max(length, 1), len(span.file.text))
    return Span(span.file, span.start, end)


def _wrong_type(place: _Place, wanted: str) -> Diagnostic:
    keys = [key.text for key in place.keys]
    example = _FORMS.get(wanted) or (_example(keys) if place.key else None)
    help = f"write {example}" if example else None
    if wanted == "a list" and isinstance(place.node, Entries) and place.node:
        pairs = _section(keys) in ("init", "placement", "parametrize") or keys[-2:] == ["mesh", "split"]
        rest = ": ..." if pairs else ""
        item = _CONDITION if "if" in place.node else f"{next(iter(place.node))}{rest}"
        help = f"write each as an item: `- {item}`"
    message = f"{wanted} is expected here, and this is {place.found}"
    return Diagnostic("wrong-type", message, place.span, help=_condition_help(place, keys) or help)


def _section(keys: Sequence[str]) -> str | None:
    """Return the section of rules that some keys lead into, or to the rules under a condition in it."""
    *around, last = keys or [""]
    if last == "then" and around[-2:-1] == ["share"]:
        return "share"
    section = around[-1] if last == "then" and around else last
    return section if section in RULE_LISTS and around[-2:-1] != ["layers"] else None


def _condition_help(place: _Place, keys: list[str]) -> str | None:
    """Return how a condition is written, where there is one in a place that takes none."""
    is_condition = isinstance(place.node, Entries) and "if" in place.node
    if keys[-2:] == ["share", "if"] or (is_condition and keys[-2:-1] == ["share"]):
        return f"write the name of the group first: `words: {_CONDITION}`"
    if is_condition and keys[-1:] == ["then"] and _section(keys):
        return _NOT_NESTED
    return _NOT_NESTED if keys[-1:] == ["then"] and _section(keys[:-1]) and keys[-2] == "then" else None


def _unknown_key(key: Scalar, known: list[str]) -> Diagnostic:
    near = did_you_mean(key.text, known)
    other = _NO_ELSE if key.text == "else" and set(known) == {"if", "then"} else None
    return Diagnostic(
        "unknown-key",
        f"there is no key `{shorten(key.text)}` here",
        key.span,
        notes=() if near else (f"keys here: {', '.join(known)}",),
        help=f"did you mean `{near}`?" if near else other,
    )


def _missing_key(place: _Place, key: str) -> Diagnostic:
    example = _example([*(at.text for at in place.keys), key])
    return Diagnostic(
        "missing-key",
        _missing(key),
        place.owner,
        help=f"write {example}" if example else None,
    )


def _strange_item(place: _Place) -> Diagnostic:
    keys = list(place.node) if isinstance(place.node, Entries) else []
    several = f"write each layer as an item of its own: `- {keys[0]}: ...`" if len(keys) > 1 else None
    near = next((hit for key in keys if (hit := did_you_mean(key, NODE_KEYS))), None)
    return Diagnostic(
        "not-a-layer",
        "this mapping is not a layer",
        place.span,
        notes=(
            "a layer written as a mapping has one of the keys " + ", ".join(f"`{key}`" for key in NODE_KEYS),
        ),
        help=f"did you mean the key `{near}`?" if near else several,
    )


def _missing(key: str | None) -> str:
    return f"the key `{key}` is missing"


def _example(keys: Sequence[str]) -> str | None:
    """Return how the value of the last key looks, given the keys that lead to it."""
    table = {"train": _TRAIN_EXAMPLES, "mesh": _MESH_EXAMPLES}.get("".join(keys[-2:-1]), _EXAMPLES)
    section = _section(keys) if keys[-1:] == ["then"] else None
    if section is not None:
        return f"`then: {_THEN[section]}`"
    return f"`{table[keys[-1]]}`" if keys and keys[-1] in table else None


RULE_LISTS = ("init", "freeze", "placement", "parametrize")
_CONDITION = "{if: ..., then: [...]}"
_THEN = {
    "share": "[wte.weight, head.weight]",
    "init": "[{Linear.weight: xavier_uniform}]",
    "freeze": "[wte]",
    "placement": "[{/: auto}]",
    "parametrize": "[{Linear.weight: spectral_norm}]",
}
_NOT_NESTED = "conditions do not nest: write one that has both, `if: tied and depth > 2`"
_NO_ELSE = "write the other case as a condition of its own: `{if: not tied, then: [...]}`"
_FORMS = {
    "a layer": "a layer, a block or an operation: `Linear(10)`, `ReLU`, `flatten(1)`",
    "a tensor type": "a dtype and the dimensions: `float[batch, 20]`",
}
"""By what is expected: how it looks."""
_EXAMPLES = {
    "spec": "spec: 1",
    "import": "import: {blocks.yaml: [Block]}",
    "requires": "requires: [my_plugin]",
    "vars": "vars: {dim: 64}",
    "presets": "presets: {tiny: {dim: 8}}",
    "inputs": 'inputs: {x: "float[batch, 20]"}',
    "dims": "dims: {batch: 2}",
    "blocks": "blocks: {Head: [Linear(10)]}",
    "layers": "layers: {fc: Linear(10)}",
    "parameters": 'parameters: {scale: {tensor: "float[8]", init: ones}}',
    "buffers": 'buffers: {grid: {value: "arange(8)"}}',
    "share": "share: {embedding: [wte.weight, head.weight]}",
    "init": "init: [{Linear.weight: xavier_uniform}]",
    "freeze": "freeze: [wte]",
    "placement": "placement: [{/: auto}]",
    "parametrize": "parametrize: [{Linear.weight: spectral_norm}]",
    "mesh": "mesh: {axes: {dp: 2}, shard: dp}",
    "of": "of: Linear(10)",
    "running": "running: {width: [8, 2 * width]}",
    "if": "if: depth > 2",
    "then": "then: ReLU",
    "splice": "splice: [Linear(10), ReLU]",
    "combine": "combine: cat(dim=1)",
    "rename": "rename: {attn.c_attn: attn.qkv}",
    "transpose": "transpose: [qkv.weight]",
    "split": "split: {qkv: [q, k, v]}",
    "stack": "stack: {qkv: [q, k, v]}",
    "parts": "parts: [q, k, v]",
    "skip": "skip: [attn.bias]",
}
_MESH_EXAMPLES = {
    "axes": "axes: {dp: 2, tp: 2}",
    "shard": "shard: dp",
    "replicate": "replicate: dp",
    "units": 'units: ["h.*"]',
    "split": "split: [{MLP.up: colwise}, {MLP.down: rowwise}]",
    "local": "local: {Attention.heads: heads // tp}",
    "recompute": 'recompute: ["h.*"]',
    "sync_statistics": "sync_statistics: true",
    "local_statistics": "local_statistics: true",
}
_TRAIN_EXAMPLES = {
    "data": "data: {file: data/digits.npz, image: images, label: labels}",
    "loss": "loss: cross_entropy(output, label)",
    "optimizer": "optimizer: AdamW(lr=1e-3)",
    "batch": "batch: 64",
    "watch": "watch: [Linear.weight]",
    "log": "log: {tensorboard: true}",
}
"""By key: how its value looks."""
