"""Selectors: the one language in which every rule, and the command line, names parameters and modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from spec_schema.brackets import NUMBERS, Fault, bracket_pattern
from spec_schema.diagnostics import refuse
from spec_schema.indices import Chosen, Index, Place, Written, is_class, written
from spec_schema.scalars import Scalar
from spec_schema.source import SourceFile, Span


class Step(NamedTuple):
    """One component of a dotted path: its name, and the type name of the module there ("" for a tensor)."""

    name: str
    kind: str = ""
    place: Place | None = None
    """Where it is in a row of layers, of how many."""
    base: str = ""
    """The type name of the layer that the module extends."""


def names_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the names of the components of a path. A model that is one node has no name for that node."""
    return tuple(step.name for step in steps if step.name)


def path_of(steps: Iterable[Step]) -> str:
    """Return a path as a state dict has it: `h.0.weight`."""
    return ".".join(names_of(steps))


Component = re.Pattern[str] | Written | Index | Chosen | None
Pattern = tuple[Component, ...]
"""The components of a selector; `None` stands for `**`."""

BRACKETS = r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]"
TOKEN = re.compile(rf"\*|\?|\{{([\w,\-]+)\}}|{BRACKETS}|([\w\-]+)")
WORD = re.compile(r"\w+")
_STARS = 4
"""In one component: matching takes time that grows with the power of their number."""
REMEMBERED = 10_000
"""Steps, from one place of a selector."""
INDEX = re.compile(BRACKETS)
PART = re.compile(r"(?:\{[^{}]*\}|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|[^.\[\]{}])+")


@dataclass(frozen=True)
class Selector:
    """A parsed selector."""

    text: str
    anchored: bool
    components: Pattern

    @cached_property
    def indices(self) -> tuple[Index, ...]:
        """The indices whose values are not known yet."""
        return tuple(part for part in self.components if isinstance(part, Index))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The components that are plain names: each is one of a path's own, or the type of a module in it."""
        patterns = [part.pattern for part in self.components if isinstance(part, re.Pattern)]
        return tuple(pattern for pattern in patterns if WORD.fullmatch(pattern))

    def bound(self, values: Mapping[str, object]) -> Selector:
        """Return the selector with its indices computed.

        Raises:
            SpecError: an index cannot be computed, or is no whole number.
        """
        if not self.indices:
            return self
        found = (part.chosen(values) if isinstance(part, Index) else part for part in self.components)
        return replace(self, components=tuple(found))

    def head(self, length: int) -> Selector:
        """Return the selector of the first components."""
        return replace(self, components=self.components[:length])

    def wide(self) -> Selector:
        """Return the selector with each slice taking all items."""
        found = (part.wide() if isinstance(part, Chosen) else part for part in self.components)
        return replace(self, components=tuple(found))

    def matches(self, path: Sequence[Step]) -> bool:
        """Return whether the selector names this path, or a module around it.

        `path` leads from the block that holds the rule to a tensor or a module.
        """
        at = self.start
        for step in path:
            if at.is_end or not at.places:
                break
            at = at.after(step)
        return at.is_end

    def names(self, path: Sequence[Step]) -> bool:
        """Return whether the selector ends exactly at this path."""
        at = self.start
        for step in path:
            if not at.places:
                break
            at = at[step]
        return at.is_end

    @cached_property
    def pattern(self) -> Pattern:
        """The components, with `**` in front where the selector may begin anywhere."""
        return self.components if self.anchored else (None, *self.components)

    @cached_property
    def start(self) -> Reached:
        """How far the empty path comes."""
        return Reached(self.pattern, {0}, {})


class Reached(dict[Step, "Reached"]):
    """How far a path has come: the components of a pattern that may be behind it, and where each step leads from here.

    The paths of a model are many and made of few steps, so that where a step leads is remembered.
    """

    def __init__(self, pattern: Pattern, places: Iterable[int], all: dict[frozenset[int], Reached]) -> None:
        super().__init__()
        self.pattern = pattern
        self.places = _with_stars(pattern, places)
        self.is_end = len(pattern) in self.places
        self.all = all

    def __missing__(self, step: Step) -> Reached:
        if len(self) == REMEMBERED:
            self.clear()
        after = Reached(self.pattern, self._beyond(*step), self.all)
        self[step] = self.all.setdefault(after.places, after)
        return self[step]

    def after(self, step: Step) -> Reached:
        """Return how far one more step comes. What a selector names, it names with all that is inside."""
        return self if self.is_end else self[step]

    def _beyond(self, name: str, kind: str, at: Place | None = None, base: str = "") -> Iterator[int]:
        for place in self.places - {len(self.pattern)}:
            part = self.pattern[place]
            assert not isinstance(part, Written | Index)  # a selector is bound before it is used
            if part is None or not name:  # a step without a name may go unsaid
                yield place
            if isinstance(part, Chosen):
                if part.has(at):
                    yield place + 1
            elif part is not None and fits(part, name, (kind, base)):
                yield place + 1


def fits(part: re.Pattern[str], name: str, kinds: tuple[str, str]) -> bool:
    """Return whether a component names a step. `*` stands for a name, which the one node of a model has not."""
    if not name:
        return not part.fullmatch("") and any(part.fullmatch(kind) for kind in filter(None, kinds))
    return any(part.fullmatch(each) for each in filter(None, (name, *kinds)))


def _with_stars(pattern: Pattern, places: Iterable[int]) -> frozenset[int]:
    """Add the places behind each `**`, which may stand for nothing."""
    found = set[int]()
    for place in places:
        found.add(place)
        while place < len(pattern) and pattern[place] is None:
            place += 1
            found.add(place)
    return frozenset(found)


@lru_cache(maxsize=4096)
def _compile(text: str) -> Selector | Fault:
    """Return the selector, or what is wrong with the text."""
    anchored = text.startswith("/")
    body = text[1:] if anchored else text
    if not body:
        return Selector(text, True, ()) if anchored else Fault("it is empty")
    parts = PART.findall(body)
    if ".".join(parts) != body:
        return Fault("a component is empty, or a bracket is not closed")
    components: list[Component] = []
    at = len(text) - len(body)
    for part in parts:
        found = _components(part, at)
        if isinstance(found, Fault):
            return found
        components += found
        at += len(part) + 1
    return Selector(text, anchored, tuple(components))


def _components(part: str, start: int) -> list[Component] | Fault:
    """Return a component, which begins at `start`, and the indices behind it."""
    name = part[: _name_length(part)]
    pattern = None if name == "**" else _component(name)
    if isinstance(pattern, Fault):
        return pattern
    found: list[Component] = [None if pattern is None else re.compile(pattern)]
    at = len(name)
    while at < len(part):
        brackets = INDEX.match(part, at)
        if brackets is None:
            return Fault(f"`{part[at:]}` stands behind an index")
        index = written(brackets[1], start + brackets.start(1))
        if isinstance(index, Fault):
            return index
        found.append(index)
        at = brackets.end()
    return found


def _name_length(part: str) -> int:
    """Return where the indices behind a component begin."""
    for brackets in INDEX.finditer(part):
        if brackets.start() > 0 and not is_class(brackets[1]):
            return brackets.start()
    return len(part)


def _component(part: str) -> str | Fault:
    pattern, at = "", 0
    if part.count("*") > _STARS:
        return Fault(f"`{part}` has more than {_STARS} `*`")
    while at < len(part):
        token = TOKEN.match(part, at)
        if token is None:
            return Fault(f"`{part[at:]}` has no meaning in it")
        piece = token_pattern(token)
        if isinstance(piece, Fault):
            return piece
        pattern += piece
        at = token.end()
    return pattern


def token_pattern(token: re.Match[str]) -> str | Fault:
    """Return the regular expression of one token of a component, or what is wrong with it."""
    if token[0] == "*":
        return ".*"
    if token[0] == "?":
        return "."
    if token[1] is not None:
        return _choices(token[1].split(","))
    if token[2] is not None:
        return bracket_pattern(token[2])
    return re.escape(token[3])


def _choices(choices: Sequence[str]) -> str | Fault:
    for choice in choices:
        if NUMBERS.fullmatch(choice):
            return Fault(f"`{choice}` in braces is no range of numbers", f"write `[{choice}]`")
    return f"(?:{'|'.join(map(re.escape, choices))})"


def parse_selector(text: str, span: Span | None) -> Selector:
    """Read a selector that is no scalar of a document.

    Raises:
        SpecError: the text is no selector.
    """
    return _read(Scalar(text, span or Span(SourceFile("selector", text), 0, len(text)), "plain", text), span)


def read_selector(scalar: Scalar) -> Selector:
    """Read a selector of a document.

    Raises:
        SpecError: the text is no selector, or an index in it no expression.
    """
    return _read(scalar, scalar.span)


def _read(scalar: Scalar, span: Span | None) -> Selector:
    result = _compile(scalar.text.strip())
    if isinstance(result, Fault):
        raise refuse(
            "bad-selector",
            "this is not a selector",
            span,
            notes=(result.note,),
            help=result.help or "write dotted components: `h.*.attn.proj.weight`, `Linear.bias` or `/head`",
        )
    if not any(isinstance(part, Written) for part in result.components):
        return result
    shift = len(scalar.text) - len(scalar.text.lstrip())
    found = (part.read(scalar, shift) if isinstance(part, Written) else part for part in result.components)
    return replace(result, components=tuple(found))
