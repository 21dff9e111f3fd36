"""Which module of one model is which of the other: by name, structure, shapes and position.

Modules are matched from the root down. What finds no partner among its siblings may find one in the next module
around, and so on up to the root: first whole modules, then single layers, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from compiler.diff.alignment import align
from compiler.diff.likeness import likeness, moved_likeness, row_likeness
from compiler.diff.tree import Module


@dataclass(frozen=True, eq=False)
class Matching:
    """The modules that belong together, from the root down, and those that have no partner: the outermost alone."""

    pairs: tuple[tuple[Module, Module], ...]
    removed: tuple[Module, ...]
    added: tuple[Module, ...]
    parents: Mapping[Module, Module]
    """The module around each, of both models."""

    def partners(self) -> dict[Module, Module]:
        """Return the partner of each module that has one, both ways."""
        return {**dict(self.pairs), **{after: before for before, after in self.pairs}}


def match(before: Module, after: Module, given: Sequence[tuple[Module, Module]] = ()) -> Matching:
    """Match two models. `given` are the pairs that the caller names."""
    order = {module: at for root in (before, after) for at, module in enumerate(root.walk())}
    matcher = _Matcher({one for one, _ in given}, {other for _, other in given}, order)
    removed, added = matcher.pair(before, after)
    for one, other in given:
        left = matcher.pair(one, other)
        removed, added = [*removed, *left[0]], [*added, *left[1]]
    parents = {child: each for root in (before, after) for each in root.walk() for child in each.children}
    surplus = matcher.surplus
    removed, added = matcher.moved(removed, added)
    return Matching(
        tuple(sorted(matcher.pairs, key=lambda pair: order[pair[0]])),
        tuple(sorted([*removed, *surplus[0]], key=order.__getitem__)),
        tuple(sorted([*added, *surplus[1]], key=order.__getitem__)),
        parents,
    )


Left = tuple[list[Module], list[Module]]
"""What has no partner yet."""


@dataclass(eq=False)
class _Matcher:
    """`taken` are modules that the caller gives partners to, and `order` has the place of each in its model."""

    taken_before: set[Module]
    taken_after: set[Module]
    order: Mapping[Module, int]
    pairs: list[tuple[Module, Module]] = field(default_factory=list)
    surplus: Left = field(default_factory=lambda: ([], []))
    """Copies of a repeat beside others that have a partner: nothing inside of them is looked for elsewhere."""

    def pair(self, before: Module, after: Module) -> Left:
        """Match two modules and what is inside, and return what has no partner."""
        self.pairs.append((before, after))
        if before.content == after.content and not (self.taken_before or self.taken_after):
            for one, other in zip(before.children, after.children, strict=True):
                self.pair(one, other)
            return [], []
        ours = [child for child in before.children if child not in self.taken_before]
        theirs = [child for child in after.children if child not in self.taken_after]
        found = self._children(ours, theirs)
        left: Left = [], []
        for one, other in found:
            inner = self.pair(one, other)
            left[0].extend(inner[0])
            left[1].extend(inner[1])
        rest = _without(ours, (one for one, _ in found)), _without(theirs, (other for _, other in found))
        for side, module in enumerate((before, after)):
            copies = module.is_repeat and (found or len(ours) < len(before.children))
            (self.surplus if copies else left)[side].extend(rest[side])
        return self.moved(*left)

    def _children(self, ours: Sequence[Module], theirs: Sequence[Module]) -> list[tuple[Module, Module]]:
        """Return which of the modules beside each other belong together."""
        names = {each.name: each for each in theirs if not each.is_numbered}
        named = [
            (each, names[each.name])
            for each in ours
            if each.name in names and _may_be(each, names[each.name])
        ]
        ours = _without(ours, (one for one, _ in named))
        theirs = _without(theirs, (other for _, other in named))
        aligned = align(ours, theirs, _same, row_likeness)
        rest = [(ours[at], theirs[place]) for at, place in aligned]
        replaced = self._replaced(
            _without(ours, (a for a, _ in rest)), _without(theirs, (b for _, b in rest))
        )
        return [*named, *rest, *replaced]

    def _replaced(self, ours: Sequence[Module], theirs: Sequence[Module]) -> list[tuple[Module, Module]]:
        """Return layers of other types under the same names, or in the same places."""
        names = {each.name: each for each in theirs if each.is_leaf}
        return [(each, names[each.name]) for each in ours if each.is_leaf and each.name in names]

    def moved(self, removed: Sequence[Module], added: Sequence[Module]) -> Left:
        """Match what has no partner: whole modules that are the same, then layers of the same type and shapes."""
        if not removed or not added:
            return list(removed), list(added)
        removed, added = (sorted(side, key=self.order.__getitem__) for side in (removed, added))
        whole = list(_outermost(self._whole(removed, added)))
        for one, other in whole:
            self.pair(one, other)
        ours = _dissolved(removed, {one for one, _ in whole})
        theirs = _dissolved(added, {other for _, other in whole})
        return self._layers(ours, theirs)

    def _whole(self, removed: Sequence[Module], added: Sequence[Module]) -> list[tuple[Module, Module]]:
        """Return blocks and lists that are the same, wherever they are in what has no partner."""
        done = {module for pair in self.pairs for module in pair}
        ours, theirs = (
            [m for each in side for m in each.walk() if _may_move(m) and m not in done]
            for side in (removed, added)
        )
        found = align(ours, theirs, _never, lambda one, other: float(_is_moved(one, other)))
        return [(ours[at], theirs[place]) for at, place in found]

    def _layers(self, removed: Sequence[Module], added: Sequence[Module]) -> Left:
        ours, theirs = self._leaves(removed, 0), self._leaves(added, 1)
        found = align(ours, theirs, _never, moved_likeness)
        if not any(ours[at].rows for at, _ in found):
            return list(removed), list(added)
        used = {ours[at] for at, _ in found}, {theirs[place] for _, place in found}
        for at, place in found:
            self.pairs.append((ours[at], theirs[place]))
        return _dissolved(removed, used[0]), _dissolved(added, used[1])

    def _leaves(self, modules: Iterable[Module], side: int) -> list[Module]:
        done = {pair[side] for pair in self.pairs}
        return [leaf for each in modules for leaf in each.walk() if leaf.is_leaf and leaf not in done]


def _same(before: Module, after: Module) -> bool:
    return before.content == after.content and before.is_numbered == after.is_numbered


def _may_move(module: Module) -> bool:
    return module.kind == "block" or (module.kind == "sequence" and module.parameters > 0)


def _is_moved(before: Module, after: Module) -> bool:
    """Return whether two modules are the same; what has no parameters has to have its name."""
    return before.content == after.content and (before.parameters > 0 or before.name == after.name)


def _outermost(pairs: Iterable[tuple[Module, Module]]) -> Iterator[tuple[Module, Module]]:
    """Yield the pairs that are in no other one. Those around come first."""
    taken: set[Module] = set()
    for one, other in pairs:
        if taken.isdisjoint((one, other)):
            taken.update(one.walk())
            taken.update(other.walk())
            yield one, other


def _never(before: Module, after: Module) -> bool:
    return False


def _may_be(before: Module, after: Module) -> bool:
    """Return whether two modules of one name are one."""
    if before.is_leaf or after.is_leaf:
        return before.is_leaf and after.is_leaf and likeness(before, after) > 0
    return True


def _without(modules: Sequence[Module], taken: Iterable[Module]) -> list[Module]:
    gone = set(taken)
    return [module for module in modules if module not in gone]


def _dissolved(modules: Iterable[Module], used: set[Module]) -> list[Module]:
    """Return what is left of modules some of whose layers have partners now: each as a whole where none has."""
    left: list[Module] = []
    for module in modules:
        if module in used:
            continue
        if used.isdisjoint(module.walk()):
            left.append(module)
        else:
            left += _dissolved(module.children, used)
    return left
