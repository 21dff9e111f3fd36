"""The passes over the tree of an emitted file: their names, and the order in which they run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compiler.emit.passes.attributes import annotate_attributes
from compiler.emit.passes.constants import fold_constants
from compiler.emit.passes.containers import choose_containers
from compiler.emit.passes.defaults import drop_defaults
from compiler.emit.passes.discarded import drop_discarded
from compiler.emit.passes.filled import fill_in_place
from compiler.emit.passes.lists import annotate_lists
from compiler.emit.passes.members import name_members
from compiler.emit.passes.merging import Origin, merge_classes
from compiler.emit.passes.reshapes import write_reshapes
from compiler.emit.passes.returns import name_results
from compiler.emit.passes.typed import call_typed_functions
from compiler.emit.passes.zips import state_equal_lengths
from spec_schema.shown import shown

Origins = Mapping[str, Origin]
"""The block that each class comes from."""
Rewrite = Callable[[ast.Module, Origins], ast.Module]


@dataclass(frozen=True)
class Pass:
    """A step from a tree to a tree."""

    name: str
    """That of its file, and what `emit --until` takes."""
    function: Rewrite
    does: str
    """What the file has after it."""


def _over(function: Callable[[ast.Module], ast.Module]) -> Rewrite:
    """Return a pass that looks at the tree alone."""
    return lambda tree, origins: function(tree)


def _as_written(tree: ast.Module, origins: Origins) -> ast.Module:
    return tree


PASSES = (
    Pass("classes", _as_written, "the classes as they are written, before any pass"),
    Pass(
        "reshapes",
        _over(write_reshapes),
        "torch's own methods for `rearrange`: `x.transpose(1, 2).flatten(2)`",
    ),
    Pass("zips", _over(state_equal_lengths), "`strict=True` where a `zip` goes over equal lengths for sure"),
    Pass("discarded", _over(drop_discarded), "no statements that throw away what they read"),
    Pass("constants", _over(fold_constants), "constants folded: `x` for `1 * x`"),
    Pass("defaults", _over(drop_defaults), "no arguments that say what a layer does anyway: `groups=1`"),
    Pass("filled", _over(fill_in_place), "lists of named layers filled where they stand, by no other name"),
    Pass("members", _over(name_members), "attributes for layers inside of layers whose class is known"),
    Pass("containers", _over(choose_containers), "`nn.ModuleList` where a program takes layers one by one"),
    Pass(
        "attributes",
        _over(annotate_attributes),
        "annotations of buffers that are read, and of layers of two classes",
    ),
    Pass("lists", _over(annotate_lists), "annotations of lists that programs begin with nothing in them"),
    Pass(
        "typed",
        _over(call_typed_functions),
        "functions of torch for methods that it has no types for: `torch.split(x, 2)`",
    ),
    Pass("returns", _over(name_results), "a type for all that is returned"),
    Pass("merging", merge_classes, "one class for those of a block that are equal, or differ in one layer"),
)
"""What makes the classes and functions of a file read as written by hand, in this order."""
NAMES = tuple(each.name for each in PASSES)
LAST = NAMES[-1]


def run_passes(tree: ast.Module, origins: Origins, last: str = LAST) -> ast.Module:
    """Return the tree after the passes up to this one.

    Raises:
        ValueError: there is no such pass.
    """
    if last not in NAMES:
        raise ValueError(f"there is no pass `{shown(last)}`: the passes are {', '.join(NAMES)}")
    for each in PASSES[: NAMES.index(last) + 1]:
        tree = each.function(tree, origins)
    return tree
