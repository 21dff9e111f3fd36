"""Validates a positioned document with pydantic, and makes located diagnostics of what pydantic finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.document import NODE_KEYS, Document, strangers
from spec_schema.reader import Entries, Items, Node, Scalar
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
    problems += [_unknown_key(key, known) for key, known in found]
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


def _diagnostic(item: Any, root: Node) -> Diagnostic:
    place = _Place.find(root, item["loc"])
    kind = item["type"]
    if kind == "missing":
        return _missing_key(place, str(item["loc"][-1]))
    if kind == "item-keys":
        return _strange_item(place)
    code = kind if kind in ("wrong-type", "bad-name", "two-forwards") else "wrong-type"
    message = item["msg"] if code == kind else "this has not the form that is expected here"
    return Diagnostic(code, message[:1].lower() + message[1:], place.span, notes=place.found_note(code))


class _Place:
    """A place in the positioned tree, found from a pydantic `loc`, which holds tags of unions too."""

    def __init__(self, node: Node, key: Scalar | None) -> None:
        self.node, self.key = node, key

    @classmethod
    def find(cls, root: Node, loc: Sequence[str | int]) -> _Place:
        node, key = root, None
        for step in loc:
            if step == "[key]":
                return cls(key or node, key)
            if isinstance(node, Entries) and step in node:
                key = node.keys_at[str(step)]
                node = node[str(step)]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
                node, key = node[step], None
        return cls(node, key)

    @property
    def span(self) -> Span:
        if isinstance(self.node, Scalar) and self.node.span.start < self.node.span.end:
            return self.node.span
        if isinstance(self.node, Scalar) and self.key is not None:
            return self.key.span
        return self.key.span if self.key is not None else _first_line(self.node.span)

    def found_note(self, code: str) -> tuple[str, ...]:
        if code != "wrong-type":
            return ()
        if isinstance(self.node, Entries):
            return ("this is a mapping",)
        if isinstance(self.node, Items):
            return ("this is a list",)
        names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
        return (f"this is {names.get(type(self.node.value), 'empty')}",)


def _first_line(span: Span) -> Span:
    length = len(span.text.split("\n")[0].rstrip())
    return span.part(0, max(length, 1))


def _unknown_key(key: Scalar, known: list[str]) -> Diagnostic:
    near = did_you_mean(key.text, known)
    return Diagnostic(
        "unknown-key",
        f"there is no key `{key.text}` here",
        key.span,
        notes=(f"keys here: {', '.join(known)}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def _missing_key(place: _Place, key: str) -> Diagnostic:
    return Diagnostic(
        "missing-key",
        f"the key `{key}` is missing",
        place.span,
        help="start the spec with `spec: 1`" if key == "spec" else None,
    )


def _strange_item(place: _Place) -> Diagnostic:
    keys = list(place.node) if isinstance(place.node, Entries) else []
    near = next((hit for key in keys if (hit := did_you_mean(key, NODE_KEYS))), None)
    return Diagnostic(
        "not-a-layer",
        "this mapping is not a layer",
        place.span,
        notes=(
            "a layer written as a mapping has one of the keys " + ", ".join(f"`{key}`" for key in NODE_KEYS),
        ),
        help=f"did you mean the key `{near}`?" if near else None,
    )
