"""The compiler, top to bottom: load → resolve → infer → apply rules → emit."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.artifact import Artifact, Canonical, canonical
from compiler.catalogue.plugin_files import import_name
from compiler.catalogue.plugins import Plugin, Registry, load_plugin
from compiler.load import BundledFiles, DiskFiles, Files, Loaded, Settings, load
from compiler.resolve.program import resolve
from spec_schema.clock import check_time, stage, timed
from spec_schema.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from compiler.infer.infer import Inferred
    from compiler.plan import Plan
    from compiler.program import ResolvedProgram

STAGES = ("load", "resolve", "infer", "rules", "emit")


def compile(
    source: str | Path,
    *,
    set: Settings | None = None,
    preset: str | None = None,
    plugins: Iterable[str | Plugin] = (),
    import_paths: Iterable[str | Path] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Artifact:
    """Compile the spec in a file.

    `set` gives values to `vars`; `plugins` are files, modules or loaded plugins.

    Raises:
        SpecError: the spec is refused; the error holds every reason.
        FileNotFoundError: there is no such file.
    """
    path = Path(source)
    files = DiskFiles(path, tuple(map(Path, import_paths)), limits.file_bytes)
    return compile_files(path.name, files, set, preset, registry(plugins), limits)


def compile_text(
    text: str,
    *,
    name: str = "spec.yaml",
    set: Settings | None = None,
    preset: str | None = None,
    plugins: Iterable[str | Plugin] = (),
    imports: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Artifact:
    """Compile the text of a spec. `imports` are the texts of the files that it may import."""
    files = TextFiles({name: text, **(imports or {})})
    return compile_files(name, files, set, preset, registry(plugins), limits)


def compile_canonical(
    bundle: Canonical, *, name: str, plugins: Iterable[str | Plugin] = (), limits: Limits = DEFAULT_LIMITS
) -> Artifact:
    """Compile a canonical spec, such as a saved model carries."""
    texts = {path: json.dumps(document) for path, document in bundle["imports"].items()}
    main = "spec.json"
    while main in texts:
        main = f"_{main}"
    files = BundledFiles({**texts, main: json.dumps(bundle["spec"])}, name)
    return compile_model(main, files, None, None, registry(plugins), limits)


def compile_files(
    path: str, files: Files, settings: Settings | None, preset: str | None, plugins: Registry, limits: Limits
) -> Artifact:
    """Compile a spec that `files` hold, and check how it is to be trained."""
    with timed(limits.compile_seconds):
        artifact = compile_model(path, files, settings, preset, plugins, limits)
        _ = artifact.training  # refuses a wrong section; a saved model loads without that look
        return artifact


def compile_model(
    path: str, files: Files, settings: Settings | None, preset: str | None, plugins: Registry, limits: Limits
) -> Artifact:
    """Compile the model of a spec that `files` hold: the whole pipeline."""
    with timed(limits.compile_seconds):
        loaded = load(path, files, settings, preset, limits)
        program = resolve(loaded, plugins)
        inferred = infer(program, limits)
        artifact = emit(loaded, inferred, limits)
        check_time(program.model.span)
        return artifact


def infer(program: ResolvedProgram, limits: Limits) -> Inferred:
    """Infer shapes. From here on torch is needed; what is refused before does without."""
    from compiler.infer.dtypes import default_dtype
    from compiler.infer.infer import infer_shapes

    return infer_shapes(program, limits, default_dtype(program))


def emit(loaded: Loaded, inferred: Inferred, limits: Limits) -> Artifact:
    """Apply the rules and emit the source."""
    from compiler.rules.apply import apply_rules

    plan = apply_rules(inferred, limits)
    tree, name = emit_source(inferred, plan)
    return Artifact(name, canonical(loaded), tree, plan, inferred)


@stage("emit")
def emit_source(inferred: Inferred, plan: Plan) -> tuple[ast.Module, str]:
    """Check the placement, and return the tree of the emitted source, and the name of its root class."""
    from compiler.emit.module import emit_tree
    from compiler.placement.check import find_moves
    from compiler.verify import verify

    tree, name = emit_tree(inferred, plan, find_moves(inferred, plan))
    verify(tree, plugin_modules(inferred.program.scope.plugins))
    return tree, name


def registry(plugins: Iterable[str | Plugin]) -> Registry:
    """Return the registry of the caller's plugins."""
    found = Registry()
    for plugin in plugins:
        found.add(load_plugin(plugin) if isinstance(plugin, str) else plugin)
    return found


def plugin_modules(plugins: Registry) -> set[str]:
    """Return the modules that the layers and operations of plugins come from."""
    callables: list[Any] = [*plugins.operations.values(), *(layer.cls for layer in plugins.layers.values())]
    return {import_name(each) for each in callables}


class TextFiles:
    """Files that are texts in memory."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def read(self, path: str) -> tuple[bytes, str]:
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path].encode("utf-8", "surrogatepass"), path
