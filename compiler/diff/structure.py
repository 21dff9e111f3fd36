"""What changed about the layers: those that are added, removed, renamed, of another type, and of other arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from compiler.diff.matching import Matching
from compiler.diff.tensors import tensor_names
from compiler.diff.tree import Module

ChangeKind = Literal["added", "removed", "renamed", "changed"]
Value = tuple[str, str | None, str | None]
"""What an argument is before and after; None where it is not written."""


@dataclass(frozen=True, eq=False)
class Change:
    """One module that is not as it was. `before` is None for one that is added, `after` for one that is removed."""

    kind: ChangeKind
    before: Module | None
    after: Module | None
    owner: tuple[Module, Module]
    """The innermost block around it, on both sides."""
    arguments: tuple[Value, ...] = ()
    """What the spec writes."""
    inferred: tuple[Value, ...] = ()
    shapes: tuple[Value, ...] = ()
    """Of its own tensors, those that are there on both sides or on one."""
    tensors: tuple[tuple[str, str], ...] = field(default=())
    """Its own tensors that are called otherwise."""
    patterns: tuple[str, str] = ("", "")
    """Selectors of the two in the block around them, with `*` for the copies of a repeat. Empty where there is none."""

    @property
    def module(self) -> Module:
        found = self.after if self.before is None else self.before
        assert found is not None
        return found

    def types(self) -> tuple[str, ...]:
        """Return its type, or both where they differ."""
        return tuple(dict.fromkeys(each.type for each in (self.before, self.after) if each is not None))


def changes(matching: Matching) -> list[Change]:
    """Return what changed, in the order of the models: what is removed stands where it was."""
    partners = matching.partners()
    found = [change for pair in matching.pairs for change in _of_pair(pair, matching, partners)]
    inner = _around(found, matching)
    found = [each for each in found if each.kind != "changed" or not _is_explained(each, inner)]
    every = [*found, *_alone(matching, partners)]
    return [replace(each, patterns=_patterns(each, matching.parents)) for each in every]


def _patterns(change: Change, parents: Mapping[Module, Module]) -> tuple[str, str]:
    one, other = change.owner
    return _pattern(change.before, one, parents), _pattern(change.after, other, parents)


def _pattern(module: Module | None, owner: Module, parents: Mapping[Module, Module]) -> str:
    """Return a selector of a module in a block around it, which begins with the type of the block."""
    if module is None:
        return ""
    names, at = [module.name], parents.get(module)
    inner = module
    while inner is not owner and at is not None and at is not owner:
        names.append("*" if parents[at].is_repeat else at.name)
        inner, at = at, parents.get(at)
    if at is not None and owner in parents:
        names.append(owner.type)
    return ".".join(name for name in reversed(names) if name)


def _of_pair(
    pair: tuple[Module, Module], matching: Matching, partners: Mapping[Module, Module]
) -> Iterator[Change]:
    before, after = pair
    owner = _owner(before, after, matching.parents, partners)
    names = tensor_names(before, after)
    renamed = tuple((one, other) for one, other in names.items() if one != other)
    if _is_renamed(before, after, matching.parents, partners) or renamed:
        yield Change("renamed", before, after, owner, tensors=renamed)
    arguments, inferred = _values(before.arguments, after.arguments), _values(before.inferred, after.inferred)
    shapes = _shapes(before, after, names)
    if arguments or inferred or shapes or (before.type != after.type and before.is_leaf):
        yield Change("changed", before, after, owner, arguments, inferred, shapes)


def _is_renamed(
    before: Module, after: Module, parents: Mapping[Module, Module], partners: Mapping[Module, Module]
) -> bool:
    if before not in parents or after not in parents:
        return False
    return before.name != after.name or partners.get(parents[before]) is not parents[after]


def _owner(
    before: Module, after: Module, parents: Mapping[Module, Module], partners: Mapping[Module, Module]
) -> tuple[Module, Module]:
    """Return the innermost block that both are in, on either side."""
    around_after = set(_outward(after, parents))
    for module in _outward(before, parents):
        other = partners.get(module)
        if module.kind == "block" and other in around_after:
            return module, other
    *_, one = _outward(before, parents, itself=True)
    *_, other = _outward(after, parents, itself=True)
    return one, other


def _outward(module: Module, parents: Mapping[Module, Module], itself: bool = False) -> Iterator[Module]:
    if itself:
        yield module
    while module in parents:
        module = parents[module]
        yield module


def _values(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Value, ...]:
    names = dict.fromkeys([*before, *after])
    return tuple(
        (name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _shapes(before: Module, after: Module, names: Mapping[str, str]) -> tuple[Value, ...]:
    found: list[Value] = []
    for name, row in before.rows.items():
        theirs = names.get(name)
        shape = str(list(after.rows[theirs].shape)) if theirs is not None else None
        if shape != str(list(row.shape)):
            found.append((name, str(list(row.shape)), shape))
    new = [name for name in after.rows if name not in names.values()]
    return (*found, *((name, None, str(list(after.rows[name].shape))) for name in new))


def _around(found: Iterable[Change], matching: Matching) -> set[Module]:
    """Return the modules of the first model in which something changed, and those around what is removed or added."""
    inner: set[Module] = set()
    for change in found:
        if change.before is not None:
            inner.update(_outward(change.before, matching.parents))
    partners = matching.partners()
    for module in (*matching.removed, *matching.added):
        inner.update(partners.get(each, each) for each in _outward(module, matching.parents))
        inner.update(_outward(module, matching.parents))
    return inner


def _is_explained(change: Change, inner: set[Module]) -> bool:
    """Return whether a block has other arguments, and what follows from them is told inside of it."""
    return change.module.kind == "block" and not change.shapes and change.before in inner


def _alone(matching: Matching, partners: Mapping[Module, Module]) -> Iterator[Change]:
    for module in matching.removed:
        around = _matched_block(module, matching.parents, partners)
        yield Change("removed", module, None, (around, partners[around]))
    for module in matching.added:
        around = _matched_block(module, matching.parents, partners)
        yield Change("added", None, module, (partners[around], around))


def _matched_block(
    module: Module, parents: Mapping[Module, Module], partners: Mapping[Module, Module]
) -> Module:
    return next(
        each
        for each in _outward(module, parents)
        if each in partners and (each.kind == "block" or each not in parents)
    )
