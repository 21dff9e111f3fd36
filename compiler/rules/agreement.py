"""The agreement of those who share a tensor: all that is decided for each of its names must be equal."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from compiler.infer.states import BlockState
from compiler.infer.values import same_form, show
from compiler.program import names_in
from compiler.rules.plan import Decision
from compiler.rules.share import Group
from compiler.rules.table import TensorRow
from spec_schema.diagnostics import Diagnostic, Label
from spec_schema.grammar import Program


def disagreements(group: Group) -> Iterator[Diagnostic]:
    """Yield what the declarations of a shared tensor contradict each other in."""
    owner = group.rows[0]
    for row in group.rows[1:]:
        if row.persistent != owner.persistent:
            kept, left = (row, owner) if row.persistent else (owner, row)
            message = f"`{kept.name}` is saved, and it is one tensor with `{left.name}`, which is not"
            yield _conflict(message, row, owner, "make both `persistent`, or neither")
        elif not _same_value(owner, row):
            message = f"`{owner.name}` and `{row.name}` are one tensor with two values"
            yield _conflict(message, row, owner, "give both the same `value`")


def frozen_in_part(group: Group, frozen: Mapping[str, Sequence[Decision]]) -> Diagnostic | None:
    """Return the contradiction of a shared tensor that is frozen under some of its names, or None."""
    if not frozen:
        return None
    hit = [row.name for row in group.rows if row.name in frozen]
    others = [row.name for row in group.rows if row.name not in frozen]
    if not hit or not others:
        return None
    return Diagnostic(
        "share-conflict",
        f"`{hit[0]}` is frozen, and it is one tensor with `{others[0]}`, which is not",
        frozen[hit[0]][0].place,
        labels=tuple(Label(rule.span, "shared here") for rule in group.rules[:1]),
        help=f"freeze `{others[0]}` too",
    )


def differing_names(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return the names that stand for different values in two expressions of one text."""
    return {
        name: (show(one.get(name)), show(other.get(name)))
        for name in sorted({**one, **other})
        if not same_form(one.get(name), other.get(name))
    }


def _conflict(message: str, row: TensorRow, owner: TensorRow, help_text: str) -> Diagnostic:
    labels = (Label(owner.span, "the other one"),) if owner.span != row.span else ()
    return Diagnostic("share-conflict", message, row.span, labels=labels, help=help_text)


def _same_value(one: TensorRow, other: TensorRow) -> bool:
    """Return whether two buffers are computed alike, or not at all."""
    if one.entry is other.entry and one.owner is other.owner:
        return True
    trees = [_trees(row) for row in (one, other)]
    if [ast.dump(tree) for tree in trees[0]] != [ast.dump(tree) for tree in trees[1]]:
        return False
    wanted = {name for tree in trees[0] for name in names_in(tree)}
    return not differing_names(_names(one, wanted), _names(other, wanted))


def _trees(row: TensorRow) -> tuple[ast.AST, ...]:
    value = row.entry.value if row.entry is not None else None
    if value is None:
        return ()
    return value.body if isinstance(value, Program) else (value.tree,)


def _names(row: TensorRow, wanted: set[str]) -> Mapping[str, object]:
    assert isinstance(row.owner, BlockState) or not wanted
    known = {**row.owner.inputs, **row.owner.values} if isinstance(row.owner, BlockState) else {}
    return {name: known[name] for name in wanted if name in known}
