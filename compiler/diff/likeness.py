"""How much two modules are alike, from 0 to 1, and how much their names are."""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import lru_cache

from compiler.diff.tree import Module

LEAST = 0.3
"""Below this, two modules of a row are two modules."""
FORMS, TYPES, NAME = 0.6, 0.2, 0.2
"""What shapes, types and the name of the block are worth."""
OTHER_KIND = 0.3
"""What is left of the likeness of a block and a list."""
SAME_TYPE = 0.6
"""What the type of a layer is worth, where its shapes differ."""


def likeness(before: Module, after: Module) -> float:
    """Return how much two modules are alike, whatever they are called."""
    if before.content == after.content:
        return 1.0
    if before.is_leaf or after.is_leaf:
        if before.is_leaf != after.is_leaf or before.type != after.type:
            return 0.0
        return 1.0 if before.form == after.form else SAME_TYPE
    forms = _overlap(before.leaf_forms, after.leaf_forms)
    types = _overlap(before.leaf_types, after.leaf_types)
    found = FORMS * forms + TYPES * types + NAME * (before.type == after.type)
    return found if before.kind == after.kind else OTHER_KIND * found


@lru_cache(maxsize=65_536)
def _overlap(one: frozenset[Hashable], other: frozenset[Hashable]) -> float:
    """Return the share of what is in both."""
    both = len(one) + len(other)
    return 2 * len(one & other) / both if both else 0.0


def row_likeness(before: Module, after: Module) -> float:
    """Return the likeness of two modules of a row; 0 for what is not alike enough, or is called otherwise."""
    found = likeness(before, after)
    if found < LEAST:
        return 0.0
    return found + 0.5 * name_likeness(before.name, after.name)


def moved_likeness(before: Module, after: Module) -> float:
    """Return the likeness of two layers that stand in different modules: their shapes agree, or they are not one."""
    if before.form != after.form:
        return 0.0
    return (1.0 if before.rows else 0.1) + 0.5 * name_likeness(before.path, after.path)


def name_likeness(before: str, after: str) -> float:
    """Return the share of words that two names have in common."""
    return _overlap(_words(before), _words(after))


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@lru_cache(maxsize=65_536)
def _words(name: str) -> frozenset[Hashable]:
    return frozenset(word.lower() for word in _WORD.findall(name))
