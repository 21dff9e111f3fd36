"""The keys of layers: what they are called in a state dict, and the name by which a program reaches each.

`1x1 as reduce` is the key `1x1`, called `reduce`. A key without `as` is its own name; a number has another one.
"""

from __future__ import annotations

import keyword
import re

from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.names import name_problem
from spec_schema.scalars import Scalar, shorten
from spec_schema.source import Span

KEY = re.compile(r"(?!__)(?=.*[A-Za-z_-])[A-Za-z0-9_][A-Za-z0-9_-]*\Z")
AS = " as "
NUMBER = re.compile(r"(0|[1-9][0-9]*)\Z")
RULE = "the key of a layer is made of ASCII letters, digits, `_` and `-`"


def split_key(text: str) -> tuple[str, str | None]:
    """Return the key of a layer, and the name that `as` gives it."""
    key, behind, name = text.partition(AS)
    return key.rstrip(), name.lstrip() if behind else None


def block_name(signature: str) -> str:
    """Return the name of a block in its signature: `Block` of `Block(width, depth=2)`."""
    return signature.partition("(")[0].strip()


def called(text: str) -> str:
    """Return what the layer of a written key is called."""
    key, name = split_key(text)
    return key if name is None else name


def is_key(text: str, limits: Limits = DEFAULT_LIMITS, is_named: bool = False) -> bool:
    """Return whether a text can be the key of a layer; of one that has another name, it may be a number."""
    if len(text) > limits.identifier or keyword.iskeyword(text):
        return False
    return bool(KEY.match(text)) or (is_named and bool(NUMBER.match(text)))


def is_attribute(key: str) -> bool:
    """Return whether Python can write a key as an attribute: `self.fc`."""
    return key.isidentifier()


def key_problem(
    key: str, place: Span, limits: Limits = DEFAULT_LIMITS, is_named: bool = False
) -> Diagnostic | None:
    """Return why a text, which stands at `place`, cannot be the key of a layer, or None."""
    if is_key(key, limits, is_named):
        return None
    if len(key) > limits.identifier or keyword.iskeyword(key):
        return name_problem(key, place, limits)
    message, notes = f"`{shorten(key)}` cannot be the key of a layer", [RULE]
    if key.isdigit():
        notes = ["a number is the key of an item of a list"]
    elif key.startswith("__"):
        notes = ["names that begin with `__` are Python's own"]
    mended = re.sub(r"[^A-Za-z0-9-]+", "_", key).strip("_")
    help = f"write `{mended}`" if is_key(mended, limits) else None
    return Diagnostic("bad-name", message, place, notes=tuple(notes), help=help)


def written_problem(written: Scalar, limits: Limits = DEFAULT_LIMITS) -> Diagnostic | None:
    """Return what is wrong with a key and the name behind its `as`, or None."""
    key, name = split_key(written.text)
    if name is None:
        return key_problem(key, written.span, limits)
    start = len(written.text) - len(name)
    return key_problem(key, key_place(written), limits, is_named=True) or name_problem(
        name, written.locate(start, len(written.text)), limits
    )


def key_place(written: Scalar) -> Span:
    """Return where the key itself stands."""
    return written.locate(0, len(split_key(written.text)[0]))


def name_place(written: Scalar) -> Span:
    """Return where the name stands by which the layer is called."""
    name = called(written.text)
    return (
        written.locate(len(written.text) - len(name), len(written.text))
        if AS in written.text
        else written.span
    )
