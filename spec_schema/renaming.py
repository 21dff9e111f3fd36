"""Names rewritten by selectors: what `*`, `**` and `{a,b}` stand for in a name is carried over into another one.

A pattern is a selector. It matches a run of components of a dotted name, at any depth unless it starts with `/`; what
stands before and behind the run stays as it is. So `attn.c_attn` -> `attn.qkv` renames `h.0.attn.c_attn.weight` to
`h.0.attn.qkv.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from spec_schema.diagnostics import refuse
from spec_schema.selectors import PART, TOKEN, Selector, parse_selector, token_pattern
from spec_schema.source import Span

ANY_DEPTH = "**"
Captures = tuple[str, ...]
"""What each wildcard of a pattern stands for, in order; for `**` the dotted components."""


@dataclass(frozen=True)
class Wildcard:
    """A wildcard of a pattern. `choices` are those of `{a,b}`, and () for the others."""

    depth: bool
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """A run of components of a name that a pattern matches, with what stands around it."""

    before: tuple[str, ...]
    captures: Captures
    after: tuple[str, ...]


@dataclass(frozen=True)
class Pattern:
    """A selector that tells what its wildcards stand for. A component is None for `**`."""

    text: str
    anchored: bool
    components: tuple[re.Pattern[str] | None, ...]
    wildcards: tuple[Wildcard, ...]

    def match(self, name: str) -> Match | None:
        """Return the first place where the pattern matches, each `**` as short as can be; None if there is none."""
        parts = tuple(name.split("."))
        dead: set[tuple[int, int]] = set()
        for start in range(1 if self.anchored else len(parts)):
            found = _match(self.components, parts, start, dead)
            if found is not None:
                end, captures = found
                return Match(parts[:start], captures, parts[end:])
        return None


def _match(
    components: Sequence[re.Pattern[str] | None], parts: Sequence[str], at: int, dead: set[tuple[int, int]]
) -> tuple[int, Captures] | None:
    """Return where a match that begins at `at` ends, and what was captured. `dead` are the ways that lead nowhere."""
    if not components:
        return at, ()
    if (len(components), at) in dead:
        return None
    first, rest = components[0], components[1:]
    if first is None:
        for end in range(at, len(parts) + 1) if rest else [len(parts)]:
            found = _match(rest, parts, end, dead)
            if found is not None:
                return found[0], (".".join(parts[at:end]), *found[1])
    elif at < len(parts) and (hit := first.fullmatch(parts[at])):
        found = _match(rest, parts, at + 1, dead)
        if found is not None:
            return found[0], (*hit.groups(), *found[1])
    dead.add((len(components), at))
    return None


def parse_pattern(text: str, span: Span | None) -> Pattern:
    """Read a pattern.

    Raises:
        SpecError: the text is no selector.
    """
    selector = _of_names(text, span)
    return _pattern(selector.text, selector.anchored)


def _of_names(text: str, span: Span | None) -> Selector:
    """Read a selector of the names in a file, where layers stand in no row that could be indexed."""
    selector = parse_selector(text, span)
    if selector.indices:
        index = selector.indices[0].text
        raise refuse(
            "bad-selector",
            f"the names in a file have no items, as `[{index}]` is",
            span,
            help="write a range of numbers, `h.[10-12]` or `ln_[1-2]`, or one of several, `{a,b}`",
        )
    return selector


@lru_cache(maxsize=1024)
def _pattern(text: str, anchored: bool) -> Pattern:
    components: list[re.Pattern[str] | None] = []
    wildcards: list[Wildcard] = []
    for part in _parts(text):
        if part == ANY_DEPTH:
            components.append(None)
            wildcards.append(Wildcard(True, ()))
            continue
        tokens = list(TOKEN.finditer(part))
        components.append(re.compile("".join(map(_capturing, tokens))))
        wildcards += [Wildcard(False, _choices(token)) for token in tokens if token[3] is None]
    return Pattern(text, anchored, tuple(components), tuple(wildcards))


def _parts(text: str) -> list[str]:
    return PART.findall(text.removeprefix("/"))


def _choices(token: re.Match[str]) -> tuple[str, ...]:
    return tuple(token[1].split(",")) if token[1] is not None else ()


def _capturing(token: re.Match[str]) -> str:
    pattern = token_pattern(token)
    return str(pattern) if token[3] is not None else f"({pattern})"


@dataclass(frozen=True)
class Hole:
    """A wildcard of a template: which capture stands there, translated if both are `{a,b}`."""

    capture: int
    translation: tuple[tuple[str, str], ...] = ()

    def fill(self, captures: Captures) -> str:
        found = captures[self.capture]
        return dict(self.translation).get(found, found)


@dataclass(frozen=True)
class Template:
    """A name with holes for what a pattern captures. Each component is a row of texts and holes."""

    text: str
    components: tuple[tuple[str | Hole, ...], ...]

    def fill(self, match: Match) -> str:
        """Return the name that a match is rewritten to."""
        made = [
            "".join(piece if isinstance(piece, str) else piece.fill(match.captures) for piece in component)
            for component in self.components
        ]
        return ".".join(part for part in (*match.before, *made, *match.after) if part)


def parse_template(text: str, pattern: Pattern, span: Span | None) -> Template:
    """Read what a pattern is rewritten to. `*` stands for the next `*`, `?` or `[..]` of the pattern, `**` for the next
    `**`, and `{a,b}` for the next `{..}`, choice by choice.

    Raises:
        SpecError: the text is no name, or one of its wildcards stands for nothing.
    """
    selector = _of_names(text, span)
    if selector.anchored and selector.components and not pattern.anchored:
        message = f"`{text}` begins with `/`, and `{pattern.text}` does not"
        raise refuse("checkpoint-argument", message, span, help="write both with `/`, or none")
    free = list(range(len(pattern.wildcards)))
    components = []
    for part in _parts(selector.text):
        pieces: list[str | Hole] = []
        for token in [None] if part == ANY_DEPTH else TOKEN.finditer(part):
            if token is not None and token[3] is not None:
                pieces.append(token[3])
                continue
            hole = _hole(token, pattern, free)
            if hole is None:
                raise _stands_for_nothing(token[0] if token else ANY_DEPTH, text, pattern, span)
            pieces.append(hole)
        components.append(tuple(pieces))
    return Template(selector.text, tuple(components))


def _hole(token: re.Match[str] | None, pattern: Pattern, free: list[int]) -> Hole | None:
    """Take the wildcard of a pattern that a wildcard of a template stands for; None if there is none."""
    choices = _choices(token) if token else ()
    if token and not choices and token[0] != "*":
        return None
    for at in free:
        wildcard = pattern.wildcards[at]
        if wildcard.depth == (token is None) and len(wildcard.choices) == len(choices):
            free.remove(at)
            return Hole(at, tuple(zip(wildcard.choices, choices, strict=True)))
    return None


def _stands_for_nothing(wildcard: str, text: str, pattern: Pattern, span: Span | None) -> Exception:
    return refuse(
        "checkpoint-argument",
        f"`{wildcard}` in `{text}` stands for nothing in `{pattern.text}`",
        span,
        notes=(
            "`*` carries over what `*` stands for, `**` what `**` does, and `{a,b}` the choice of a `{c,d}`",
        ),
    )
