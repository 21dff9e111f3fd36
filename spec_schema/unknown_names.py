"""The diagnostics of names in expressions: those without a compile-time value, and arguments that nothing takes."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from spec_schema.diagnostics import Diagnostic
from spec_schema.grammar import Source
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

PYTHON_WORDS = {"true": "True", "false": "False", "null": "None", "none": "None", "nil": "None"}
"""What is written otherwise inside an expression than in YAML, JSON or other languages."""


def unknown_value(
    source: Source, node: ast.Name, known: Iterable[str], functions: Iterable[str]
) -> Diagnostic:
    """Return the diagnostic of a name that has no compile-time value, where `known` names have one."""
    names, name, place = sorted(known), node.id, source.span(node)
    if name.lower() in PYTHON_WORDS:
        return no_python_word(name, place)
    near = did_you_mean(name, [*names, *functions])
    inside = ", ".join(f"`{each}`" for each in names) or "none"
    return Diagnostic(
        "unknown-name",
        f"there is no value named `{name}` here",
        place,
        notes=() if near else (f"values in scope: {inside}",),
        help=f"did you mean `{near}`?"
        if near
        else f"declare it under `vars:`, or put a text in quotes: `{_as_text(source, name)}`",
    )


def _as_text(source: Source, name: str) -> str:
    """Return a name as a text of an expression, in the quotes that are left when YAML or JSON has taken its own."""
    if source.scalar.text.strip() == name:
        return f"\"'{name}'\""
    return f'"{name}"' if source.scalar.style == "single" else f"'{name}'"


def no_python_word(name: str, place: Span) -> Diagnostic:
    """Return the diagnostic of a `true` or `null` in an expression, which is written as in Python."""
    help = f"expressions are written as in Python: `{PYTHON_WORDS[name.lower()]}`"
    return Diagnostic("unknown-name", f"there is no value named `{name}` here", place, help=help)


def unknown_argument(what: str, name: str, known: Collection[str], place: Span) -> Diagnostic:
    """Return the diagnostic of a keyword that is no argument of what is called, written in its quotes."""
    near = did_you_mean(name, known)
    return Diagnostic(
        "unknown-argument",
        f"{what} has no argument `{name}`",
        place,
        notes=() if near else (f"arguments: {', '.join(known) or 'none'}",),
        help=f"did you mean `{near}`?" if near else None,
    )
