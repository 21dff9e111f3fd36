"""Selectors: the one language in which every rule, and the command line, names parameters and modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from spec_schema.diagnostics import refuse
from spec_schema.source import Span

Step = tuple[str, str]
"""One component of a dotted path: its name, and the type name of the module there ("" for a tensor)."""

Positions = frozenset[int]
"""Places of a pattern: how many of its components are behind."""

TOKEN = re.compile(r"\*|\?|\{([\w,\-]+)\}|\[(!?(?:\w-\w|\w)+)\]|([\w\-]+)")
_STARS = 4
"""In one component: matching takes time that grows with the power of their number."""
_REMEMBERED = 10_000
"""Steps, for one selector."""
PART = re.compile(r"(?:\{[^{}]*\}|\[[^\[\]]*\]|[^.\[\]{}])+")


@dataclass(frozen=True)
class Selector:
    """A parsed selector. `components` are patterns; `None` stands for `**`."""

    text: str
    anchored: bool
    components: tuple[re.Pattern[str] | None, ...]
    _after: dict[tuple[Positions, Step], Positions] = field(default_factory=dict, compare=False, repr=False)
    """What a step leads to: the paths of a model are many, and made of few steps."""

    def matches(self, path: Sequence[Step]) -> bool:
        """Say whether the selector names this path, or a module around it.

        `path` leads from the block that holds the rule to a tensor or a module.
        """
        at, end = self._start, len(self._pattern)
        for step in path:
            if end in at or not at:
                break
            at = self._step(at, step)
        return end in at

    def names(self, path: Sequence[Step]) -> bool:
        """Say whether the selector ends exactly at this path."""
        at = self._start
        for step in path:
            if not at:
                break
            at = self._step(at, step)
        return len(self._pattern) in at

    @cached_property
    def _pattern(self) -> tuple[re.Pattern[str] | None, ...]:
        return self.components if self.anchored else (None, *self.components)

    @cached_property
    def _start(self) -> Positions:
        return self._with_stars({0})

    def _step(self, at: Positions, step: Step) -> Positions:
        """Return which places of the pattern may be reached behind one more step of a path."""
        found = self._after.get((at, step))
        if found is None:
            if len(self._after) == _REMEMBERED:
                self._after.clear()
            found = self._after[at, step] = self._with_stars(self._beyond(at, step))
        return found

    def _beyond(self, at: Positions, step: Step) -> Iterator[int]:
        name, kind = step
        for place in at:
            if place == len(self._pattern):
                continue
            part = self._pattern[place]
            if part is None:
                yield place
            elif part.fullmatch(name) or (kind and part.fullmatch(kind)):
                yield place + 1

    def _with_stars(self, places: Iterable[int]) -> Positions:
        """Add the places behind each `**`, which may stand for nothing."""
        found = set[int]()
        for place in places:
            found.add(place)
            while place < len(self._pattern) and self._pattern[place] is None:
                place += 1
                found.add(place)
        return frozenset(found)


@lru_cache(maxsize=4096)
def _compile(text: str) -> Selector | str:
    """Return the selector, or what is wrong with the text."""
    anchored = text.startswith("/")
    body = text[1:] if anchored else text
    if not body:
        return Selector(text, True, ()) if anchored else "it is empty"
    parts = PART.findall(body)
    if ".".join(parts) != body:
        return "a component is empty, or a bracket is not closed"
    components: list[re.Pattern[str] | None] = []
    for part in parts:
        if part == "**":
            components.append(None)
            continue
        pattern, problem = _component(part)
        if problem:
            return problem
        components.append(re.compile(pattern))
    return Selector(text, anchored, tuple(components))


def _component(part: str) -> tuple[str, str | None]:
    pattern, at = "", 0
    if part.count("*") > _STARS:
        return "", f"`{part}` has more than {_STARS} `*`"
    while at < len(part):
        token = TOKEN.match(part, at)
        if token is None:
            return "", f"`{part[at:]}` has no meaning in it"
        if any(low > high for low, high in re.findall(r"(\w)-(\w)", token[2] or "")):
            return "", f"the range `{token[0]}` is empty"
        pattern += _piece(token)
        at = token.end()
    return pattern, None


def _piece(token: re.Match[str]) -> str:
    if token[0] == "*":
        return ".*"
    if token[0] == "?":
        return "."
    if token[1] is not None:
        return "(?:" + "|".join(re.escape(choice) for choice in token[1].split(",")) + ")"
    if token[2] is not None:
        return f"[{token[2].replace('!', '^', 1)}]"
    return re.escape(token[3])


def parse_selector(text: str, span: Span | None) -> Selector:
    """Read a selector.

    Raises:
        SpecError: the text is no selector.
    """
    result = _compile(text.strip())
    if isinstance(result, str):
        raise refuse(
            "bad-selector",
            "this is not a selector",
            span,
            notes=(result,),
            help="write dotted components: `h.*.attn.proj.weight`, `Linear.bias` or `/head`",
        )
    return result
