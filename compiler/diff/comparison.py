"""The comparison of two compiled specs: what a reviewer needs to know, as values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.artifact import Artifact
from compiler.diff.documents import ValueChange, names, value_changes
from compiler.diff.folding import Fold, fold
from compiler.diff.given import given_pairs
from compiler.diff.matching import Matching, match
from compiler.diff.programs import ProgramChange, program_changes
from compiler.diff.rules import Effect, RuleChange, effects, rule_changes, unexplained
from compiler.diff.structure import Change, changes
from compiler.diff.tensors import Tensors, match_tensors
from compiler.diff.tree import Module, tree_of
from compiler.diff.weights import Weights, weights
from compiler.rules.plan import PlanRow


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models, what belongs together in them, and what changed."""

    before: Artifact
    after: Artifact
    names: tuple[str, str] | None
    """What the models are called, if both specs say it and do not agree."""
    values: tuple[ValueChange, ...]
    blocks: tuple[tuple[str | None, str | None], ...]
    """Blocks that are called otherwise, that are no longer used, and that are new."""
    changes: tuple[Change, ...]
    programs: tuple[ProgramChange, ...]
    rules: tuple[RuleChange, ...]
    effects: tuple[Effect, ...]
    """What is decided otherwise without a changed rule that would say it."""
    tensors: Tensors
    weights: Weights
    code_differs: bool
    """Whether the models compute something else, whatever of that is told above."""
    idle_maps: tuple[str, ...] = ()
    """The maps of which nothing loads, as the shapes on both sides differ."""

    @property
    def folds(self) -> list[Fold]:
        """The changes of layers, as a reviewer would tell them."""
        return fold(self.changes)

    @property
    def is_told(self) -> bool:
        """Whether there is anything to say."""
        every = (self.names, self.values, self.blocks, self.changes, self.programs, self.rules, self.effects)
        return any(every)

    @property
    def is_same(self) -> bool:
        """Whether both specs are of one model, however they are written."""
        return not self.is_told and not self.code_differs


def compare(
    before: Artifact,
    after: Artifact,
    checkpoint: str,
    maps: Sequence[str] = (),
) -> Comparison:
    """Compare two compiled specs. `maps` say which modules belong together, as the caller knows.

    `checkpoint` is the path of the weights of the first one, for the rule that loads them.

    Raises:
        MapProblem: a map names what is not there.
    """
    trees = tree_of(before), tree_of(after)
    by_path = [{module.path: module for module in tree.walk()} for tree in trees]
    given = given_pairs(maps, list(by_path[0]), list(by_path[1]))
    matching = match(*trees, [(by_path[0][one], by_path[1][other]) for one, other in given])
    tensors = match_tensors(before, after, matching)
    rules = tuple(rule_changes(before, after, tensors))
    found = weights(before, after, matching, tensors, checkpoint)
    return Comparison(
        before,
        after,
        names(before, after),
        tuple(value_changes(before, after)),
        tuple(_blocks(matching)),
        tuple(changes(matching)),
        tuple(program_changes(matching)),
        rules,
        tuple(unexplained(rules, effects(before, after, tensors))),
        tensors,
        found,
        _code(before, before.name) != _code(after, before.name),
        tuple(text for text in maps if _is_idle(given_pairs([text], *map(list, by_path)), tensors, found)),
    )


def _is_idle(pairs: Sequence[tuple[str, str]], tensors: Tensors, found: Weights) -> bool:
    """Return whether modules that belong together by a map have tensors of other shapes, and none that loads."""

    def between(one: PlanRow, other: PlanRow) -> bool:
        return any(_is_in(one, pair[0]) and _is_in(other, pair[1]) for pair in pairs)

    loaded = set(found.loaded)
    loads = any(between(one, other) for one, other in tensors.pairs.items() if other.name in loaded)
    return not loads and any(between(one, other) for one, other in tensors.reshaped)


def _is_in(row: PlanRow, path: str) -> bool:
    return any(f".{name}".startswith(f".{path}." if path else ".") for name in row.names)


def _code(artifact: Artifact, name: str) -> str:
    """Return the source of a model, with another name of its root class."""
    return re.sub(rf"\b{re.escape(artifact.name)}\b", name, artifact.class_source)


def _blocks(matching: Matching) -> list[tuple[str | None, str | None]]:
    """Return the blocks that have no partner of the same name."""
    before, after = (_types(matching.pairs[0][side]) for side in (0, 1))
    found: dict[str, str] = {}
    for one, other in matching.pairs[1:]:
        if one.kind == other.kind == "block" and one.type not in after and other.type not in before:
            found.setdefault(one.type, other.type)
    renamed = list(found.items())
    gone = [(name, None) for name in before if name not in after and name not in found]
    new = [(None, name) for name in after if name not in before and name not in found.values()]
    return [*renamed, *gone, *new]


def _types(root: Module) -> dict[str, None]:
    """Return the names of the blocks of a model, but for what is written in place."""
    blocks = (each for each in root.walk() if each.kind == "block" and each is not root)
    return dict.fromkeys(each.type for each in blocks if each.definition is not None)
