"""Which of many rules name a path, without a look at each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from spec_schema.selectors import Selector, Step

Rule = TypeVar("Rule")


class Lookup(Generic[Rule]):
    """Rules by their selectors, each under a word that stands in every path that it names: the rarest of its own.

    A thousand rules for a thousand layers, one each, are a thousand looks then, and not a million.
    """

    def __init__(self, rules: Iterable[tuple[Selector, Rule]]) -> None:
        self.rules = list(rules)
        count = Counter(word for selector, _ in self.rules for word in selector.words)
        self.by_word: dict[str | None, list[int]] = {}
        for number, (selector, _) in enumerate(self.rules):
            rarest = min(selector.words, key=count.__getitem__, default=None)
            self.by_word.setdefault(rarest, []).append(number)

    def matching(self, path: Sequence[Step]) -> Iterator[Rule]:
        """Yield the rules that name a path, or a module around it, in their order."""
        words = {None, *(word for step in path for word in (step.name, step.kind, step.base))}
        for number in sorted(number for word in words for number in self.by_word.get(word, ())):
            selector, rule = self.rules[number]
            if selector.matches(path):
                yield rule
