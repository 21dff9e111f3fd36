"""What a repeat binds in each of its copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from compiler.program import Running, ValueTree
from compiler.resolve.values import read_value
from spec_schema import layer_nodes as form
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.reader import Items, Scalar
from spec_schema.source import Span

INDEX = "index"
"""What the number of a copy is called where the repeat gives it no other name."""


@dataclass(frozen=True)
class Copies:
    """What a repeat goes over, and the names that it binds."""

    over: ValueTree
    names: tuple[str, ...]
    index: str
    running: tuple[Running, ...]

    @property
    def bound(self) -> set[str]:
        return {self.index, *self.names, *(each.name for each in self.running)}


def read_copies(node: form.Copies, check: Callable[[ValueTree, Iterable[str]], list[Diagnostic]]) -> Copies:
    """Return what a repeat goes over and binds. `check` looks up the names of a value, with more in scope.

    Raises:
        SpecError: a value is none, or two of the names are one.
    """
    over = read_value(node.source("repeat"))
    named = node.as_ if isinstance(node.as_, list) else [node.as_] if node.as_ is not None else []
    index = node.index.text if node.index is not None else INDEX
    running = tuple(_running(key, node) for key in node.keys_of("running").values())
    copies = Copies(over, tuple(name.text for name in named), index, running)
    own = [node.index] if node.index is not None else []
    problems = [*check(over, ()), *_twice([*named, *own, *node.keys_of("running").values()])]
    for each in running:
        problems += [*check(each.first, ()), *check(each.after, copies.bound)]
    if problems:
        raise SpecError(problems)
    return copies


def _running(key: Scalar, node: form.Copies) -> Running:
    pair = node.table("running")[key.text]
    assert isinstance(pair, Items)
    if len(pair) != 2:
        message = f"`{key.text}` has {len(pair)} values, and a running value has two"
        help = (
            f"write its first value, and how each copy computes the next: `{key.text}: [8, 2 * {key.text}]`"
        )
        raise refuse("bad-repeat", message, _first_line(key, pair.span), help=help)
    return Running(key.text, read_value(pair[0]), read_value(pair[1]))


def _first_line(key: Scalar, place: Span) -> Span:
    return place if "\n" not in place.text else key.span


def _twice(names: Iterable[Scalar]) -> list[Diagnostic]:
    """Return a diagnostic for each name that another one bears too."""
    seen: dict[str, Span] = {}
    problems: list[Diagnostic] = []
    for name in names:
        if name.text in seen:
            labels = (Label(seen[name.text], "the first one"),)
            message = f"the repeat binds `{name.text}` twice"
            problems.append(Diagnostic("duplicate-name", message, name.span, labels=labels))
        seen.setdefault(name.text, name.span)
    return problems
