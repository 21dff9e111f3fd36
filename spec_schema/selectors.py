"""Selectors: the one language in which every rule, and the command line, names parameters and modules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from spec_schema.diagnostics import refuse
from spec_schema.source import Span

Step = tuple[str, str]
"""One component of a dotted path: its name, and the type name of the module there ("" for a tensor)."""

TOKEN = re.compile(r"\*|\?|\{([\w,\-]+)\}|\[(!?(?:\w-\w|\w)+)\]|([\w\-]+)")
_STARS = 4
"""In one component: matching takes time that grows with the power of their number."""
PART = re.compile(r"(?:\{[^{}]*\}|\[[^\[\]]*\]|[^.\[\]{}])+")


@dataclass(frozen=True)
class Selector:
    """A parsed selector. `components` are patterns; `None` stands for `**`."""

    text: str
    anchored: bool
    components: tuple[re.Pattern[str] | None, ...]

    def matches(self, path: Sequence[Step]) -> bool:
        """Say whether the selector names this path, or a module around it.

        `path` leads from the block that holds the rule to a tensor or a module.
        """
        pattern: tuple[re.Pattern[str] | None, ...] = (*self.components, None)
        if not self.anchored:
            pattern = (None, *pattern)
        return _match(pattern, tuple(path))

    def names(self, path: Sequence[Step]) -> bool:
        """Say whether the selector ends exactly at this path."""
        pattern = self.components if self.anchored else (None, *self.components)
        return _match(pattern, tuple(path))


def _match(pattern: tuple[re.Pattern[str] | None, ...], path: tuple[Step, ...]) -> bool:
    """Match a pattern with `**` against a path, a row of reachable positions at a time."""
    reachable = {0}
    for part in pattern:
        if part is None:
            reachable = set(range(min(reachable), len(path) + 1)) if reachable else set()
        else:
            reachable = {
                at + 1
                for at in reachable
                if at < len(path)
                and (part.fullmatch(path[at][0]) or (path[at][1] and part.fullmatch(path[at][1])))
            }
    return len(path) in reachable


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
