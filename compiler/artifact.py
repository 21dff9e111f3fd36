"""The artifact: the one value that crosses from the compiler to the runtime."""

from __future__ import annotations

import ast
import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.catalogue.plugins import Plugin, plugin_modules
from compiler.load import Loaded
from spec_schema.canonical import plain
from spec_schema.formatting.order import in_order
from spec_schema.limits import Limits

if TYPE_CHECKING:
    from compiler.infer.infer import Inferred
    from compiler.mesh.plan import MeshPlan
    from compiler.program import ResolvedProgram
    from compiler.rules.plan import Plan
    from compiler.training.section import Training

Canonical = Mapping[str, Any]
"""`{"spec": document, "imports": {path: document}}`: a spec with all that it imports, as plain values."""

Parts = tuple[str, tuple[Plugin, ...], Limits, Mapping[str, str]]
"""The canonical text of a spec, its plugins, the limits of the compiler, and the device of each tensor by its name."""


@dataclass(frozen=True, eq=False, repr=False)
class Artifact:
    """A compiled spec: a value, which equals another one of the same spec, plugins, limits and devices.

    In a pickle it is its spec (`compiler/pickled.py`).
    """

    name: str
    """The name of the root class."""
    canonical: Canonical
    tree: ast.Module
    plan: Plan
    inferred: Inferred

    @cached_property
    def key(self) -> Hashable:
        """What tells it from other artifacts."""
        return key_of(*self.parts)

    @property
    def parts(self) -> Parts:
        """What it is compiled again from."""
        plugins = tuple(self.inferred.plugins.plugins.values())
        devices = {row.name: row.device for row in self.plan.rows}
        return self.canonical_text, plugins, self.inferred.limits, devices

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Artifact) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        parameters = sum(row.elements for row in self.plan.parameters)
        return f"<Artifact {self.name}: {len(self.plan.rows)} tensors, {parameters:,} parameters>"

    def _repr_html_(self) -> str:
        """Return the picture of the model, which notebooks show."""
        from compiler.drawing.drawing import draw
        from compiler.drawing.html import in_notebook
        from compiler.rules.provenance import Provenance

        return in_notebook(draw(self.inferred, self.plan, self.name), Provenance(self.inferred))

    def __deepcopy__(self, memo: dict[int, Any]) -> Artifact:
        """An artifact never changes: copies of a model share it."""
        return self

    @property
    def program(self) -> ResolvedProgram:
        return self.inferred.program

    @property
    def folder(self) -> Path:
        """The folder of the spec, which paths in it are relative to."""
        return Path(self.program.scope.file).parent

    @cached_property
    def source(self) -> str:
        """The emitted Python source, formatted, with the variables of the spec as arguments of the root class."""
        from compiler.emit.passes.table import LAST

        return self.source_after(LAST)

    def source_after(self, last: str) -> str:
        """Return the source as it is after a pass of code generation, one of the names in `PASSES`.

        The model is inferred again for it, at other values of the variables.
        """
        from compiler.emit.lift import emit_lifted
        from compiler.emit.style import format_tree
        from compiler.placement.check import find_transfers
        from compiler.verify import verify

        tree = emit_lifted(self.inferred, self.plan, find_transfers(self.inferred, self.plan), last)
        verify(tree, plugin_modules(self.inferred.plugins))
        return format_tree(tree)

    @cached_property
    def class_source(self) -> str:
        """The source of the classes that a built model is of: at the values that this artifact was compiled with.

        It is not laid out for readers, which takes longer than all else of a build: `source` is.
        """
        return ast.unparse(self.tree) + "\n"

    @cached_property
    def training(self) -> Training | None:
        """The checked `train` section, or None if the spec has none.

        Raises:
            SpecError: the section is refused. Compiling a spec reports that; a saved model loads all the same.
        """
        from compiler.training.section import read_training

        return read_training(self.inferred, self.plan)

    @cached_property
    def mesh(self) -> MeshPlan | None:
        """How the model lies on the ranks that the section `mesh` names, or None if the spec has none.

        Raises:
            SpecError: the section is refused. Compiling a spec reports that; a saved model loads all the same.
        """
        return self.mesh_of({})

    def mesh_of(self, sizes: Mapping[str, int]) -> MeshPlan | None:
        """Return the plan of the mesh with other sizes of some axes.

        Raises:
            SpecError: the section is refused at these sizes, or has no such axis.
        """
        if self.inferred.program.document.mesh is None and not sizes:
            return None
        from compiler.mesh.section import read_mesh

        return read_mesh(self.inferred, self.plan, sizes)

    @cached_property
    def canonical_text(self) -> str:
        """The canonical spec as one line of JSON."""
        return json.dumps(self.canonical, ensure_ascii=False, separators=(",", ":"))


def key_of(text: str, plugins: tuple[Plugin, ...], limits: Limits, devices: Mapping[str, str]) -> Hashable:
    """Return what tells an artifact from others. Plugins of one name may differ, so that their members count."""
    return text, limits, tuple(devices.items()), *map(id, _members(plugins))


def _members(plugins: tuple[Plugin, ...]) -> Iterator[Any]:
    for plugin in plugins:
        yield from (layer.cls for layer in plugin.layers.values())
        yield from (each.cls for each in plugin.parametrizations.values())
        for part in (plugin.operations, plugin.initializers, plugin.datasets):
            yield from part.values()


def canonical(loaded: Loaded) -> Canonical:
    """Return a spec with its imports, its name and the caller's values of `vars`, as plain values in one order."""
    document: Any = in_order(plain(loaded.node))
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
            imports[imported.path] = in_order(plain(imported.node))
            _collect(imported, imports)
