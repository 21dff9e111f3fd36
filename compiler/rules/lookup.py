"""Which of many rules name a path, without a look at each of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from spec_schema.indices import Chosen
from spec_schema.selectors import REMEMBERED, Component, Selector, Step, fits

Rule = TypeVar("Rule")
CHOICE = re.compile(r"\(\?:(\w+(?:\|\w+)*)\)|(\w+)")
"""The regular expression of a component that stands for names which can be listed: of `{up,down}`, or `up`."""


@dataclass(frozen=True, eq=False)
class Node:
    """The components that rules begin with. What follows them is kept by what can be looked up of a step."""

    stays: bool = False
    """Whether any number of steps may come in front of what follows: it is behind `**`."""
    ends: list[int] = field(default_factory=list)
    """The numbers of the rules that have no further component."""
    after: dict[object, Node] = field(default_factory=dict)
    by_word: dict[str, list[Node]] = field(default_factory=dict)
    by_item: dict[int, Node] = field(default_factory=dict)
    others: list[tuple[re.Pattern[str] | Chosen, Node]] = field(default_factory=list)
    """What has to be tried on each step."""

    def add(self, component: Component) -> Node:
        """Return what is behind a component of a selector whose indices are known."""
        key = component.numbers if isinstance(component, Chosen) else component
        if key not in self.after:
            self.after[key] = Node(stays=component is None)
            self._index(component, self.after[key])
        return self.after[key]

    def _index(self, component: Component, node: Node) -> None:
        if isinstance(component, Chosen):
            if component.number is not None:
                self.by_item[component.number] = node
            else:
                self.others.append((component, node))
        elif isinstance(component, re.Pattern):
            choice = CHOICE.fullmatch(component.pattern)
            for word in (choice[1] or choice[2]).split("|") if choice else ():
                self.by_word.setdefault(word, []).append(node)
            if choice is None:
                self.others.append((component, node))

    def beyond(self, step: Step) -> Iterator[Node]:
        """Yield what is behind each component that names a step."""
        if self.by_word:
            for word in {step.name, step.kind, step.base}:
                yield from self.by_word.get(word, ())
        if self.by_item and step.place is not None:
            at, count = step.place
            yield from (self.by_item[number] for number in (at, at - count) if number in self.by_item)
        for component, node in self.others:
            if _names(component, step):
                yield node

    def with_stars(self) -> Iterator[Node]:
        """Yield the node, and those behind `**`, which may stand for nothing."""
        yield self
        if None in self.after:
            yield from self.after[None].with_stars()


def _names(component: re.Pattern[str] | Chosen, step: Step) -> bool:
    if isinstance(component, Chosen):
        return component.has(step.place)
    return fits(component, step.name, (step.kind, step.base))


class Reached(dict[Step, "Reached"]):
    """How far a path has come in all rules at once, and where each step leads from here."""

    def __init__(self, nodes: frozenset[Node], ends: tuple[int, ...], all: dict[object, Reached]) -> None:
        super().__init__()
        self.nodes = nodes
        self.ends = ends
        """The rules that name exactly this path."""
        self.all = all

    def __missing__(self, step: Step) -> Reached:
        if len(self) == REMEMBERED:
            self.clear()
        found = {each for node in self.nodes for near in node.beyond(step) for each in near.with_stars()}
        found |= {each for node in self.nodes if node.stays for each in node.with_stars()}
        unsaid = self.nodes if not step.name else frozenset()  # a step without a name may go unsaid
        ends = tuple(sorted(number for node in found for number in node.ends))
        nodes = frozenset(found | unsaid)
        self[step] = self.all.setdefault((nodes, ends), Reached(nodes, ends, self.all))
        return self[step]


class Lookup(Generic[Rule]):
    """Rules by their selectors, in a tree of components.

    A path is led through the tree once, and not through each selector: a thousand rules for a thousand layers, one
    each, are a thousand looks then, and not a million.
    """

    def __init__(self, rules: Iterable[tuple[Selector, Rule]]) -> None:
        self.rules: list[Rule] = []
        self.root = Node()
        for number, (selector, rule) in enumerate(rules):
            node = self.root
            for component in selector.pattern:
                node = node.add(component)
            node.ends.append(number)
            self.rules.append(rule)
        nodes = frozenset(self.root.with_stars())
        ends = tuple(sorted(number for node in nodes for number in node.ends))
        self.start = Reached(nodes, ends, {})

    def matching(self, path: Sequence[Step]) -> Iterator[Rule]:
        """Yield the rules that name a path, or a module around it, in their order."""
        at = self.start
        found = at.ends
        for step in path:
            at = at[step]
            found += at.ends
        return (self.rules[number] for number in (sorted(set(found)) if len(found) > 1 else found))

    def naming(self, path: Sequence[Step]) -> Iterator[Rule]:
        """Yield the rules whose selectors end exactly at a path, in their order."""
        at = self.start
        for step in path:
            at = at[step]
        return (self.rules[number] for number in at.ends)
