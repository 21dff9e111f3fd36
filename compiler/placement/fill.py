"""`auto` on several accelerators: they are filled in the order of the program, and blocks are kept whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from compiler.devices import AUTO
from compiler.rules.plan import Plan
from compiler.rules.table import TensorRow
from spec_schema.selectors import names_of

Path = tuple[str, ...]
Room = tuple[str, float]
"""A device, and the bytes that the model may take on it."""


@dataclass(eq=False)
class Atom:
    """What is never split: a layer of the catalogue, or the tensors that a block holds itself."""

    path: Path
    size: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Unit:
    """Neighbouring atoms that go to one device together: those of one module."""

    path: Path
    atoms: list[Atom]

    @property
    def size(self) -> int:
        return sum(atom.size for atom in self.atoms)


def fill(plan: Plan, rooms: Sequence[Room]) -> dict[str, str] | None:
    """Return the device of each tensor that is on `auto`, by each of its names; None if they do not fit.

    All go to the first device if it has room. Otherwise the modules of the model are put on the devices in turn, in
    the order of the program; while that does not go, the largest module is taken apart. Tensors that are one, with
    the layers that hold them, stay together, where the first of them is.
    """
    atoms = _atoms(plan)
    units = [Unit((), atoms)]
    while True:
        assigned = _in_turn(units, rooms)
        if assigned is not None:
            return {name: device for atom, device in assigned for name in atom.names}
        largest = max(
            (unit for unit in units if len(unit.atoms) > 1), key=lambda unit: unit.size, default=None
        )
        if largest is None:
            return None
        at = units.index(largest)
        units[at : at + 1] = _apart(largest)


def _in_turn(units: Iterable[Unit], rooms: Sequence[Room]) -> list[tuple[Atom, str]] | None:
    """Put units on devices, never going back to an earlier one."""
    found: list[tuple[Atom, str]] = []
    at, used = 0, 0
    for unit in units:
        while at < len(rooms) and used + unit.size > rooms[at][1]:
            at, used = at + 1, 0
        if at == len(rooms):
            return None
        used += unit.size
        found.extend((atom, rooms[at][0]) for atom in unit.atoms)
    return found


def _apart(unit: Unit) -> list[Unit]:
    """Return the parts of a unit, one level down."""
    parts: list[Unit] = []
    depth = len(unit.path) + 1
    for atom in unit.atoms:
        path = atom.path[:depth]
        if parts and parts[-1].path == path and len(atom.path) >= depth:
            parts[-1].atoms.append(atom)
        else:
            parts.append(Unit(path, [atom]))
    return parts


def _atoms(plan: Plan) -> list[Atom]:
    """Return the atoms in the order of the program. One that shares a tensor with an earlier one is part of it."""
    atoms: dict[Path, Atom] = {}
    for row in plan.table.tensors:
        planned = plan.plain.by_name[row.name]
        if planned.device != AUTO:
            continue
        earlier = next((a for n in planned.names for a in atoms.values() if n in a.names), None)
        atom = atoms.setdefault(holder(row), earlier or Atom(holder(row)))
        if earlier is not None and earlier is not atom:
            _merge(atoms, earlier, atom)
            atom = earlier
        atom.names.append(row.name)
        atom.size += planned.bytes if earlier is None else 0
    return list(dict.fromkeys(atoms.values()))


def _merge(atoms: dict[Path, Atom], earlier: Atom, later: Atom) -> None:
    earlier.names += later.names
    earlier.size += later.size
    atoms.update({path: earlier for path, atom in atoms.items() if atom is later})


def holder(row: TensorRow) -> Path:
    """Return the path of the layer of the catalogue, or of the block, that a tensor belongs to."""
    inner = 1 if row.module is None else len(row.torch_steps) - 1
    return names_of(row.steps[: len(row.steps) - inner])
