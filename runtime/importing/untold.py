"""Layers that are held under several names, by one of which no program calls them: they tell their sizes themselves."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from runtime.importing.leaves import is_container
from runtime.importing.programs import Program


def untold(root: nn.Module, programs: Mapping[nn.Module, Program]) -> set[nn.Module]:
    """Return the modules of which one copy in the spec gets no input that its sizes could be inferred from."""
    names: dict[nn.Module, list[str]] = {}
    for name, each in root.named_modules(remove_duplicate=False):
        names.setdefault(each, []).append(name)
    shared = [
        each for each, found in names.items() if len(found) > 1 and any(True for _ in each.parameters())
    ]
    if not shared:
        return set()
    reached = {
        f"{name}.{path}".lstrip(".")
        for module, program in programs.items()
        for name in names[module]
        for path in [*program.modules(), *(call.target.name for call in program.calls)]
    }
    idle = [each for each in shared if not all(_is_reached(root, name, reached) for name in names[each])]
    return {inner for each in idle for inner in each.modules()}


def _is_reached(root: nn.Module, name: str, reached: set[str]) -> bool:
    """Return whether a program calls what has a name, or a list that it stands in."""
    if name in reached:
        return True
    holder = name.rpartition(".")[0]
    return bool(holder) and is_container(root.get_submodule(holder)) and _is_reached(root, holder, reached)
