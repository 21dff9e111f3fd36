"""Which tensor of one model is which of the other, given the modules that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compiler.artifact import Artifact
from compiler.diff.matching import Matching
from compiler.diff.tree import Module
from compiler.rules.plan import PlanRow


@dataclass(frozen=True, eq=False)
class Tensors:
    """The tensors of two models. One with several names stands once, with the partner of the first that has one."""

    pairs: Mapping[PlanRow, PlanRow]
    removed: tuple[PlanRow, ...]
    added: tuple[PlanRow, ...]

    @property
    def reshaped(self) -> list[tuple[PlanRow, PlanRow]]:
        return [(one, other) for one, other in self.pairs.items() if one.shape != other.shape]


def match_tensors(before: Artifact, after: Artifact, matching: Matching) -> Tensors:
    """Match the tensors of the modules that belong together: by their names in them, then by their shapes."""
    found: dict[PlanRow, PlanRow] = {}
    taken: set[PlanRow] = set()
    for one, other in sorted(_every(matching), key=lambda pair: not _are_canonical(*pair)):
        if one[0] not in found and other[0] not in taken:
            found[one[0]] = other[0]
            taken.add(other[0])
    return Tensors(
        {row: found[row] for row in before.plan.rows if row in found},
        tuple(row for row in before.plan.rows if row not in found),
        tuple(row for row in after.plan.rows if row not in taken),
    )


Named = tuple[PlanRow, str]


def _every(matching: Matching) -> Iterator[tuple[Named, Named]]:
    for one, other in matching.pairs:
        for name, theirs in tensor_names(one, other).items():
            yield (one.rows[name], _path(one, name)), (other.rows[theirs], _path(other, theirs))


def _path(module: Module, name: str) -> str:
    return f"{module.path}.{name}" if module.path else name


def _are_canonical(one: Named, other: Named) -> bool:
    return one[0].name == one[1] and other[0].name == other[1]


def tensor_names(before: Module, after: Module) -> Mapping[str, str]:
    """Return what each tensor of a module is called in its partner."""
    found = {name: name for name in before.rows if name in after.rows}
    free = [name for name in after.rows if name not in found]
    for name, row in before.rows.items():
        if name in found:
            continue
        same = (
            each for each in free if after.rows[each].shape == row.shape and after.rows[each].kind == row.kind
        )
        theirs = next(same, None)
        if theirs is not None:
            found[name] = theirs
            free.remove(theirs)
    return found
