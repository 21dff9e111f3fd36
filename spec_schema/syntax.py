"""Python's parser, and its complaints in words that are the same for every version of Python."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from typing import Literal

from spec_schema.diagnostics import SpecError, refuse
from spec_schema.scalars import Scalar

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_UNFINISHED = frozenset("+-*/%@&|^~<>=.,([{")
Explained = tuple[str, str | None]
"""A headline, and the way out."""


def parse(scalar: Scalar, text: str, start: int, mode: Literal["eval", "exec"]) -> ast.AST:
    """Return the tree of a text, which starts at `start` in the text of its scalar.

    Raises:
        SpecError: Python cannot read it.
    """
    if not text.strip():
        what = "an expression" if mode == "eval" else "a program"
        raise refuse("syntax", f"{what} is expected here, and this is empty", scalar.span)
    if "\0" in text:
        place = scalar.locate(start + text.index("\0"), start + text.index("\0") + 1)
        raise refuse("syntax", "a control character is not allowed here", place)
    try:
        with warnings.catch_warnings():
            # What Python only warns of, such as the escape `\d`, means nothing here.
            warnings.simplefilter("error")
            return ast.parse(text, mode=mode)
    except SyntaxError as error:
        raise _refused(scalar, text, start, error) from None
    except (ValueError, MemoryError, RecursionError):
        raise too_deep(scalar) from None


def too_deep(scalar: Scalar) -> SpecError:
    """Return the refusal of a text that is nested too deeply even to be parsed."""
    return refuse("expression-too-deep", "the text is nested too deeply to be read", scalar.span)


def _refused(scalar: Scalar, text: str, start: int, error: SyntaxError) -> SpecError:
    if re.match("too many (nested|statically)", error.msg or ""):
        return too_deep(scalar)
    at = _offset(text, error)
    message, help = _explain(error.msg or "", text, at)
    place = scalar.locate(start + at, start + min(at + 1, len(text)))
    return refuse("syntax", message, place, help=help)


def _offset(text: str, error: SyntaxError) -> int:
    """Return where in the text an error is: its last character if something is missing behind it."""
    lines = text.split("\n")
    line = min(error.lineno or 1, len(lines))
    before = sum(len(part) + 1 for part in lines[: line - 1])
    last = max(len(text.rstrip()) - 1, 0)
    if not error.offset and (error.msg or "").startswith("invalid syntax"):
        return last
    return min(before + min(max((error.offset or 1) - 1, 0), len(lines[line - 1])), last)


def _explain(reason: str, text: str, at: int) -> Explained:
    for pattern, explanation in _EXPLANATIONS:
        found = re.match(pattern, reason)
        if found:
            return explanation(found, text, at)
    reason = reason.split("\n")[0].removesuffix(".")
    return f"this cannot be read: {reason[:1].lower()}{reason[1:]}", None


def _invalid(found: re.Match[str], text: str, at: int) -> Explained:
    line_ends = text[at : at + 1] in ("", "\n")
    before = text[:at].rstrip(" ")[-1:] if line_ends else text[at]
    rest = "" if line_ends else text[at + 1 :].split("\n")[0].split("#")[0]
    if not rest.strip() and before in _UNFINISHED:
        return "this ends in the middle", None
    if text[at] == "=" and text[at : at + 2] != "==":
        return "an assignment cannot stand here", "compare with `==`"
    help = "did you forget a comma?" if "comma" in found[0] else None
    token = re.compile(r"\w+|\S").search(text, at)
    return f"`{token[0]}` is not expected here" if token else "this ends in the middle", help


def _never_closed(found: re.Match[str], text: str, at: int) -> Explained:
    return f"this `{found[1]}` is never closed", f"close it with `{_CLOSING[found[1]]}`"


_EXPLANATIONS: tuple[tuple[str, Callable[[re.Match[str], str, int], Explained]], ...] = (
    (r"'([(\[{])' was never closed", _never_closed),
    (r"unmatched '(.)'", lambda m, *_: (f"this `{m[1]}` closes nothing", "leave it out")),
    (r"closing parenthesis '(.)' does not match opening parenthesis '(.)'",
     lambda m, *_: (f"this `{m[1]}` does not close the `{m[2]}` in front of it", f"write `{_CLOSING[m[2]]}`")),
    (r"expected ':'", lambda *_: ("a `:` is missing here", None)),
    (r"expected an indented block", lambda *_: ("this line is not indented below the one above", None)),
    (r"unexpected indent", lambda *_: ("this line is indented further than the one above", None)),
    (r"unindent does not match", lambda *_: ("this line is indented differently from the ones around it", None)),
    (r"unterminated (string|triple)", lambda *_: ("this quote is never closed", None)),
    (r"invalid escape sequence '(\\.)'|\"(\\.)\" is an invalid escape",
     lambda m, *_: (f"`{m[1] or m[2]}` is no escape", "write two backslashes for one")),
    (r"positional argument follows keyword",
     lambda *_: ("an argument without a name stands behind one with a name", "put the named ones last")),
    (r"keyword argument repeated: (\w+)", lambda m, *_: (f"`{m[1]}` is given twice", None)),
    (r"(non-default argument|parameter without a default) follows",
     lambda *_: ("a parameter without a default stands behind one with a default", "put those with a default last")),
    (r"expected 'else' after 'if'", lambda *_: ("an `if` in an expression needs its `else`", None)),
    (r"leading zeros", lambda *_: ("a number has no zeros in front", None)),
    (r"invalid character '(.)'", lambda m, *_: (f"`{m[1]}` is not a character of the language", None)),
    (r"invalid syntax.*", _invalid),
)  # fmt: skip
"""By the first pattern that Python's own words match."""
