"""The compiler, top to bottom: load → resolve → infer → rules → place → emit → verify."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.artifact import Artifact, Canonical, canonical
from compiler.catalogue.plugins import Plugin, Registry, load_plugin, plugin_modules
from compiler.load import BundledFiles, DiskFiles, Files, Settings, load
from compiler.resolve.program import resolve
from spec_schema.clock import check_time, stage, timed
from spec_schema.collecting import collecting_seldom
from spec_schema.diagnostics import SpecError
from spec_schema.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from compiler.infer.infer import Inferred
    from compiler.placement.transfers import Transfers
    from compiler.program import ResolvedProgram
    from compiler.rules.plan import Plan


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
        _ = artifact.training, artifact.mesh  # refuses a wrong section; a saved model loads without that look
        return artifact


def compile_model(
    path: str, files: Files, settings: Settings | None, preset: str | None, plugins: Registry, limits: Limits
) -> Artifact:
    """Compile the model of a spec that `files` hold: the whole pipeline."""
    with collecting_seldom(), timed(limits.compile_seconds):
        loaded = load(path, files, settings, preset, limits)
        program = resolve(loaded, plugins)
        inferred = infer(program, limits)
        plan = rules(inferred, limits)
        moves = place(inferred, plan)
        tree, name = emit(inferred, plan, moves)
        verify(tree, program.scope.plugins)
        check_time(program.model.span)
        return Artifact(name, canonical(loaded), tree, plan, inferred)


def infer(program: ResolvedProgram, limits: Limits) -> Inferred:
    """Infer shapes. From here on torch is needed; what is refused before does without."""
    from compiler.infer.dtypes import default_dtype
    from compiler.infer.infer import infer_shapes

    try:
        found = infer_shapes(program, limits, default_dtype(program))
    except SpecError as error:
        raise SpecError([*program.passed_over, *error.diagnostics]) from None
    if program.passed_over:
        raise SpecError(program.passed_over)
    return found


def rules(inferred: Inferred, limits: Limits) -> Plan:
    """Decide what each parameter and buffer is, by the rules of the spec."""
    from compiler.rules.apply import apply_rules

    return apply_rules(inferred, limits)


def place(inferred: Inferred, plan: Plan) -> Transfers:
    """Find where values move between devices, and refuse a placement that nothing can run."""
    from compiler.placement.check import find_transfers

    return find_transfers(inferred, plan)


@stage("emit")
def emit(inferred: Inferred, plan: Plan, moves: Transfers) -> tuple[ast.Module, str]:
    """Return the tree of the source of a model, and the name of its root class."""
    from compiler.emit.module import emit_tree

    return emit_tree(inferred, plan, moves)


@stage("verify")
def verify(tree: ast.Module, plugins: Registry) -> None:
    """Make sure that the source names nothing but what emitted source may."""
    from compiler.verify import verify

    verify(tree, plugin_modules(plugins))


def registry(plugins: Iterable[str | Plugin]) -> Registry:
    """Return the registry of the caller's plugins."""
    found = Registry()
    for plugin in plugins:
        found.add(load_plugin(plugin) if isinstance(plugin, str) else plugin)
    return found


class TextFiles:
    """Files that are texts in memory."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def read(self, path: str) -> tuple[bytes, str]:
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path].encode("utf-8", "surrogatepass"), path
