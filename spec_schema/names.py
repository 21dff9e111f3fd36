"""What may be a name in a spec."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container

from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.scalars import shorten
from spec_schema.source import Span

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_RULE = "a name is made of ASCII letters, digits and `_`, and starts with a letter"


def is_name(text: str, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Return whether a text can be a name."""
    return len(text) <= limits.identifier and bool(IDENTIFIER.match(text)) and not keyword.iskeyword(text)


def name_problem(name: str, place: Span, limits: Limits = DEFAULT_LIMITS) -> Diagnostic | None:
    """Return why `name`, which stands at `place`, cannot be a name, or None."""
    if is_name(name, limits):
        return None
    message, notes = f"`{shorten(name)}` cannot be a name", [_RULE]
    if len(name) > limits.identifier:
        message, notes = f"a name of {len(name):,} characters", [f"the limit is {limits.identifier}"]
    elif keyword.iskeyword(name):
        message, notes = f"`{name}` is a keyword of Python", []
    mended = _mended(name)
    help = f"write `{mended}`" if is_name(mended, limits) else None
    return Diagnostic("bad-name", message, place, notes=tuple(notes), help=help)


def unused(wanted: str, taken: Container[str]) -> str:
    """Return the name, with a number behind it if it is taken."""
    found, number = wanted, 2
    while found in taken:
        found, number = f"{wanted}_{number}", number + 1
    return found


def _mended(name: str) -> str:
    """Return the name that is closest to one that cannot be."""
    if keyword.iskeyword(name):
        return f"{name}_"
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
