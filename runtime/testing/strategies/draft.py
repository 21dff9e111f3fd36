"""A document while it is drawn: its variables and blocks so far, and the names that are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from runtime.testing.strategies.tensors import Draw, Flow, Width, pick, rarely

BOUND = ("index", "turn", "size", "step", "grown")
"""The names that repeats bind."""
KEYS = ("1x1", "block-0", "_fc", "3x3-a")
"""Keys of layers as published checkpoints have them."""
NUMBER = "7"
"""That of a layer which has another name, and is no item of a list."""
HIDING = ("index", "self", "torch", "nn", "F", "math", "fx", "Tensor", "OrderedDict", "str", "object", "args")
"""Names that the emitted file uses itself, which a spec may use all the same."""


@dataclass(frozen=True)
class Argument:
    """A parameter of a block: a number, a flag, a text, or a layer that keeps the shape."""

    name: str
    kind: str
    default: str | None = None


@dataclass(frozen=True)
class Contract:
    """How a block is used: in which layout, what width it takes and gives, and what else its forward may get.

    `takes` and `gives` name an argument; `takes` None is any width, `gives` None is the width that it got.
    """

    name: str
    layout: str
    arguments: tuple[Argument, ...] = ()
    takes: str | None = None
    gives: str | None = None
    keeps: bool = True
    optional: tuple[str, ...] = ()
    """Inputs after the first, with None as default; each has the form of the first."""


@dataclass
class Draft:
    """What is drawn of a document so far. `new_block` draws a block into it: its layout, and how deep it may nest."""

    new_block: Callable[[Draw, Draft, str, int], Contract]
    vars: dict[str, Any] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    recipes: list[str] = field(default_factory=list)
    blocks: dict[str, Any] = field(default_factory=dict)
    contracts: list[Contract] = field(default_factory=list)
    marks: Any = field(default_factory=count)
    taken: set[str] = field(default_factory=set)
    """Names that no block may have: of blocks, and of numbers, which hide a block where it is an argument."""

    def unknown(self) -> Width:
        """Return a width that only the compiler knows."""
        return Width(f"?{next(self.marks)}")


@dataclass
class Scope:
    """The compile-time names of one block, and the names that its layers, tensors and locals have taken."""

    draft: Draft
    numbers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    taken: set[str] = field(default_factory=set)

    def within(self, names: Iterable[str], index: str = "index") -> Scope:
        """Return the scope inside a repeat that binds the number of the copy and more numbers."""
        numbers = (*names, *(n for n in self.numbers if index not in n), f"({index} + 1)")
        return Scope(self.draft, numbers, self.flags, self.texts, self.recipes, set(self.taken))


def seen_inside(flow: Flow, draft: Draft) -> Flow:
    """Return the flow as a repeat sees it: names in its width may be those that the repeat binds."""
    hidden = any(name in flow.width.text for name in BOUND)
    return flow.wide(draft.unknown()) if hidden else flow


def fresh(draw: Draw, taken: set[str], wanted: Iterable[str]) -> str:
    """Draw a name that is not taken, and take it."""
    return _numbered(taken, str(pick(draw, *HIDING) if rarely(draw, 16) else pick(draw, *wanted)))


def _numbered(taken: set[str], stem: str) -> str:
    """Return a name that is not taken, and take it."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}{number}", number + 1
    taken.add(name)
    return name


def key_of(draw: Draw, taken: set[str], name: str, *others: str) -> str:
    """Draw the key of a layer of this name, as it is written: now and then one that is no name."""
    return f"{_numbered(taken, str(pick(draw, *KEYS, *others)))} as {name}" if rarely(draw, 6) else name


def atom(draw: Draw, scope: Scope) -> str:
    """Draw a number from 1 to 4, or the name of one."""
    return str(pick(draw, "3", "4", "2", "1", *scope.numbers))


def number(draw: Draw, scope: Scope) -> str:
    """Draw an expression for a small whole number from 1 on."""
    one = atom(draw, scope)
    if not rarely(draw, 4):
        return one
    forms = (
        *("{a} + 1", "2 * {a}", "max({a}, 2)", "({a} if {c} else 3)", "({a} + 1) // 2", "min([{a}, 4])"),
        *("make_divisible(1.5 * {a}, 2)", "int({a} * 1.5)", "[n + i for i, n in enumerate([{a}])][-1]"),
    )
    return str(pick(draw, *forms)).format(a=one, c=condition(draw, scope))


def width(draw: Draw, scope: Scope) -> Width:
    """Draw a width, now and then one that is surely even."""
    if rarely(draw, 4):
        return Width(f"2 * {atom(draw, scope)}", even=True)
    text = number(draw, scope)
    return Width(text, even=text in ("2", "4"))


def condition(draw: Draw, scope: Scope) -> str:
    """Draw a condition that is decided at compile time."""
    flags = [form.format(f=flag) for flag in scope.flags for form in ("{f}", "not {f}")]
    numbers = [
        form.format(n=n) for n in scope.numbers for form in ("{n} > 2", "{n} % 2 == 0", "1 < {n} <= 3")
    ]
    both = [f"{a} and {b}" for a, b in zip(flags[:2], numbers[:2], strict=False)]
    return str(pick(draw, "2 > 1", "1 == 2", *flags, *numbers, *both))


def total(a: Width, b: Width, draft: Draft) -> Width:
    """Return the width of two values side by side."""
    if a.known and b.known and len(a.text) + len(b.text) < 24:
        parts = [w.text if w.text.isalnum() else f"({w.text})" for w in (a, b)]
        return Width(" + ".join(parts), a.even and b.even)
    return draft.unknown()


def joined(flow: Flow, widths: Iterable[Width], draft: Draft) -> Flow:
    """Return the flow of several values side by side."""
    first, *rest = widths
    for each in rest:
        first = total(first, each, draft)
    return flow.wide(first)
