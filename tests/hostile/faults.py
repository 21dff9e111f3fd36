"""Single faults: one slip in a valid spec, in a known place."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, Node, Scalar, read_text
from tests.hostile.originals import Original


@dataclass(frozen=True)
class Fault:
    """What is wrong with a text, and the characters `start` to `end` of it where it is wrong."""

    what: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Part:
    """A scalar of a document: under which keys it stands, or that it is one."""

    scalar: Scalar
    path: tuple[str, ...]
    is_key: bool

    @property
    def start(self) -> int:
        return self.scalar.span.start

    @property
    def end(self) -> int:
        return self.scalar.span.end

    @property
    def is_prose(self) -> bool:
        return "doc" in self.path or self.path[:1] in (("name",), ("dims",), ("presets",))


NAMED_BY_THE_SPEC = {
    (key,) for key in "vars layers blocks inputs parameters buffers data share metrics import".split()
}
"""Keys below which any key may stand."""

Edit = tuple[str, int, int, str]
"""What it is called, the characters of the text that are replaced, and by what."""


@cache
def parts(original: Original) -> list[Part]:
    root = read_text(original.text, original.changed, DEFAULT_LIMITS)
    return [part for part in _parts(root, ()) if not part.is_prose]


def _parts(node: Node, path: tuple[str, ...]) -> Iterator[Part]:
    if isinstance(node, Scalar):
        yield Part(node, path, False)
    elif isinstance(node, Entries):
        for key, value in node.items():
            yield Part(node.keys_at[key], (*path, key), True)
            yield from _parts(value, (*path, key))
    else:
        for item in node:
            yield from _parts(item, path)


def misspelt(word: str) -> str:
    return f"{word[: len(word) // 2]}qj{word[len(word) // 2 :]}"


def misspelt_names(original: Original) -> Iterator[Edit]:
    """Each name of an expression or a program, where it is used."""
    for part in values(original):
        if part.path[0] == "inputs":
            continue  # a dimension with another name is another dimension
        try:
            tree = ast.parse(part.scalar.text)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            found = _name(node)
            if found is None:
                continue
            name, line, column = found
            before = sum(len(each) + 1 for each in part.scalar.text.split("\n")[: line - 1])
            span = part.scalar.locate(before + column, before + column + len(name))
            if span.text == name:
                yield type(node).__name__, span.start, span.end, misspelt(name)


def _name(node: ast.AST) -> tuple[str, int, int] | None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return node.id, node.lineno, node.col_offset
    if isinstance(node, ast.Attribute) and node.end_lineno is not None and node.end_col_offset is not None:
        return node.attr, node.end_lineno, node.end_col_offset - len(node.attr)
    if isinstance(node, ast.keyword) and node.arg is not None:
        return node.arg, node.lineno, node.col_offset
    return None


def misspelt_keys(original: Original) -> Iterator[Edit]:
    known = set(
        "spec inputs vars blocks model layers forward init share freeze placement parametrize train parallel".split()
    )
    known |= set(
        "extends combine residual repeat of parameters buffers value tensor import loss optimizer mesh".split()
    )
    for part in parts(original):
        if part.is_key and part.scalar.text in known and part.path[-2:-1] not in NAMED_BY_THE_SPEC:
            yield "key", part.start, part.end, misspelt(part.scalar.text)


def unclosed_brackets(original: Original) -> Iterator[Edit]:
    for part in values(original):
        for found in re.finditer(r"\([^()\n]*\)", original.text[part.start : part.end]):
            outer = outermost(original.text, part.start, part.start + found.start())
            end = part.start + found.end()
            yield "bracket", outer, end, original.text[outer : end - 1]


def outermost(text: str, start: int, at: int) -> int:
    """Return where the outermost bracket opens that is open at a place: any may be the one that is not closed."""
    depth, found = 0, at
    for place in range(at, start - 1, -1):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth > 0:
            depth, found = 0, place
    return found


def huge_numbers(original: Original) -> Iterator[Edit]:
    for part in values(original):
        for found in re.finditer(r"(?<![\w.])\d+(?![\w.])", original.text[part.start : part.end]):
            yield "number", part.start + found.start(), part.start + found.end(), "9" * 20


def dunders(original: Original) -> Iterator[Edit]:
    for part in values(original):
        for found in re.finditer(r"\b[a-z]\w*(?=[ ,)\]]|$)", original.text[part.start : part.end]):
            start, end = part.start + found.start(), part.start + found.end()
            yield "dunder", start, end, f"{found[0]}.__class__"


def tags(original: Original) -> Iterator[Edit]:
    for part in values(original):
        if original.text[part.start - 2 : part.start] in (": ", "- "):
            yield "tag", part.start, part.start, "!!python/name:os.system "


def strange_keys(original: Original) -> Iterator[Edit]:
    """A key that is not known, above each key that is written in block style, and the key itself twice."""
    for part in parts(original):
        before = original.text[: part.start].rpartition("\n")[2]
        taken = part.path[-2:-1] in NAMED_BY_THE_SPEC
        if part.is_key and not before.strip() and original.text[part.end : part.end + 1] == ":":
            yield "twice", part.end + 1, part.end + 1, f" 1\n{before}{original.text[part.start : part.end]}:"
            if not taken:
                yield "colour", part.start, part.start, f"colour: 1\n{before}"


def strange_types(original: Original) -> Iterator[Edit]:
    for part in values(original):
        is_plain = original.text[part.start - 2 : part.start] in (": ", "- ") and part.scalar.style == "plain"
        if is_plain and "vars" not in part.path:
            yield "type", part.start, part.end, "{[]: 1}"


def values(original: Original) -> list[Part]:
    return [part for part in parts(original) if not part.is_key]


KINDS: tuple[Callable[[Original], Iterator[Edit]], ...] = (
    *(misspelt_names, misspelt_names, misspelt_names, misspelt_keys, unclosed_brackets),
    *(huge_numbers, dunders, tags, strange_keys, strange_types),
)


@cache
def edits(original: Original, kind: Callable[[Original], Iterator[Edit]]) -> list[Edit]:
    return list(kind(original))


def fault(original: Original, number: int) -> Fault | None:
    """Return a fault of an original, or None if it has no place for the kind that was drawn."""
    draw = Random(f"fault {original.text} {number}")
    found = edits(original, draw.choice(KINDS))
    if not found:
        return None
    what, start, end, new = draw.choice(found)
    text = original.text[:start] + new + original.text[end:]
    return Fault(f"{what}: {original.text[start:end]!r} -> {new!r}", text, start, start + len(new))
