"""The artifact: the one value that crosses from the compiler to the runtime."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compiler.load import Loaded
from spec_schema.plain import plain

if TYPE_CHECKING:
    from compiler.infer.infer import Inferred
    from compiler.plan import Plan
    from compiler.program import ResolvedProgram
    from compiler.training.section import Training

Canonical = Mapping[str, Any]
"""`{"spec": document, "imports": {path: document}}`: a spec with all that it imports, as plain values."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A compiled spec."""

    name: str
    """The name of the root class."""
    canonical: Canonical
    tree: ast.Module = field(repr=False)
    plan: Plan = field(repr=False)
    inferred: Inferred = field(repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Artifact:
        """An artifact never changes: copies of a model share it."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Artifact], tuple[object, ...]]:
        """A pickle holds the spec, which is compiled again where that artifact is not there."""
        from compiler.pickled import reduced

        return reduced(self)

    @property
    def program(self) -> ResolvedProgram:
        return self.inferred.program

    @cached_property
    def source(self) -> str:
        """The emitted Python source, formatted."""
        from compiler.emit.style import format_tree

        return format_tree(self.tree)

    @cached_property
    def training(self) -> Training | None:
        """The checked `train` section, or None if the spec has none.

        Raises:
            SpecError: the section is refused. Compiling a spec reports that; a saved model loads all the same.
        """
        from compiler.training.section import read_training

        return read_training(self.inferred, self.plan)

    @cached_property
    def canonical_text(self) -> str:
        """The canonical spec as one line of JSON."""
        return json.dumps(self.canonical, ensure_ascii=False, separators=(",", ":"))


def canonical(loaded: Loaded) -> Canonical:
    """Return a spec with its imports, its name and the caller's values of `vars`, as plain values."""
    document: Any = plain(loaded.node)
    document = {"spec": document["spec"], "name": loaded.title, **document}
    if loaded.overrides:
        document = {
            **document,
            "vars": {**document["vars"], **{k: plain(v) for k, v in loaded.overrides.items()}},
        }
    imports: dict[str, Any] = {}
    _collect(loaded, imports)
    return {"spec": document, "imports": imports}


def _collect(loaded: Loaded, imports: dict[str, Any]) -> None:
    for imported in loaded.imports.values():
        if imported.path not in imports:
            imports[imported.path] = plain(imported.node)
            _collect(imported, imports)
