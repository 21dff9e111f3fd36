"""Inlay hints: the shape behind each layer and each statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lsprotocol.types import InlayHint, InlayHintKind, Range

from compiler.editor.analysis import Analysis
from compiler.editor.document import Document, shifted
from compiler.program import Definition, ModuleBody
from spec_schema.grammar import Program
from spec_schema.source import Span
from spec_schema.walk import walk

_CLOSING = "]}\"' "
ARROW = "→ "


@dataclass(frozen=True)
class Hint:
    """What stands behind a place: the shape there in the first call, and those in other calls."""

    at: int
    text: str
    others: tuple[str, ...] = ()


def inlay_hints(document: Document, where: Range) -> list[InlayHint]:
    """Return the hints in a part of a text: where it does not compile, those of the last text that did."""
    start, end = (document.places.offset(each) for each in (where.start, where.end))
    found = {hint.at: hint for hint in _of(document.good, document)}
    found |= {hint.at: hint for hint in _of(document.current, document)}
    return [_shown(hint, document) for at, hint in sorted(found.items()) if start <= at <= end]


def _of(found: Analysis | None, document: Document) -> Iterator[Hint]:
    for hint in hints(found) if found is not None else ():
        at = shifted(hint.at, found.text, document.text) if found is not None else None
        if at is not None:
            yield Hint(at, hint.text, hint.others)


def _shown(hint: Hint, document: Document) -> InlayHint:
    return InlayHint(
        position=document.places.position(hint.at),
        label=f"{ARROW}{hint.text}{' …' if hint.others else ''}",
        kind=InlayHintKind.Type,
        padding_left=True,
        tooltip=f"in other calls: {', '.join(hint.others)}" if hint.others else None,
    )


def hints(found: Analysis) -> list[Hint]:
    """Return all hints of a text, in its order."""
    made = {hint.at: hint for hint in (*_layers(found), *_statements(found))}
    ordered = [made[at] for at in sorted(made)]
    text = found.text
    return [
        hint
        for hint, after in zip(ordered, [*ordered[1:], None], strict=False)
        if after is None or after.text != hint.text or text[hint.at : after.at].strip(_CLOSING)
    ]


def _layers(found: Analysis) -> Iterator[Hint]:
    for number, seen in found.record.layers.items():
        other = found.scaled.layers.get(number)
        span = seen.node.span
        if span.file.name == found.origin.name:
            yield from _hint(found, _behind(span), seen.outputs, other.outputs if other else ())


def _behind(span: Span) -> int:
    """Return the place behind a call, and behind the quote that it stands in."""
    quoted = span.file.text[span.end : span.end + 1] in ("'", '"')
    return span.end + quoted


def _statements(found: Analysis) -> Iterator[Hint]:
    for seen in found.record.blocks.values():
        definition = seen.node
        assert isinstance(definition, Definition)
        body = definition.body
        program = body.program if isinstance(body, ModuleBody) else None
        if program is None or program.scalar.span.file.name != found.origin.name:
            continue
        for root in program.body:
            for node in walk(root):
                if isinstance(node, ast.Assign | ast.AugAssign | ast.For):
                    yield from _bound(found, program, node)
        other = found.scaled.blocks.get(id(definition))
        yield from _hint(found, program.place.end, seen.outputs, other.outputs if other else ())


def _bound(found: Analysis, program: Program, node: ast.Assign | ast.AugAssign | ast.For) -> Iterator[Hint]:
    """Yield what a statement binds, of the names that it binds at once a tuple."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    at = program.span(node.iter).end + 1 if isinstance(node, ast.For) else program.span(node).end
    names = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
    values = [(_values(found.record.bound, name), _values(found.scaled.bound, name)) for name in names]
    if len(values) == 1:
        yield from _hint(found, at, *values[0])
    elif all(given for given, _ in values):
        first = tuple(given[0] for given, _ in values)
        yield from _hint(found, at, [first], [tuple(other[0] if other else None for _, other in values)])


def _values(bound: Any, name: ast.expr) -> Sequence[Any]:
    known = bound.get(id(name))
    return known.values if known is not None else ()


def _hint(found: Analysis, at: int, values: Sequence[Any], others: Sequence[Any]) -> Iterator[Hint]:
    texts = shapes(found, values, others)
    if texts:
        yield Hint(at, texts[0], tuple(texts[1:]))


def shapes(found: Analysis, values: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """Return the values of several calls as texts, each once."""
    naming = found.naming
    pairs = zip(values, [*others, *[None] * len(values)], strict=False)
    return list(dict.fromkeys(text for one, other in pairs if (text := naming.text(one, other)) is not None))
