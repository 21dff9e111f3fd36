"""What is known of one text: what is wrong with it, and as far as it goes its program, shapes and parameters.

A text is looked at in three steps: at its example sizes, which is what diagnostics wait for; once more at other sizes,
for the names of dimensions; and by the whole compiler, when nobody types.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from compiler.catalogue.plugins import Registry
from compiler.editor.reading import readable
from compiler.editor.recording import Record, RecordingEngine
from compiler.editor.sizes import Naming, scaled
from compiler.infer.dtypes import default_dtype
from compiler.infer.infer import Inferred, Runs
from compiler.infer.unmade import with_unmade
from compiler.load import DiskFiles, Loaded, load
from compiler.pipeline import compile_files, rules
from compiler.program import ResolvedProgram
from compiler.resolve.program import resolve
from compiler.rules.plan import Plan
from spec_schema.clock import Clock
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.reader import Entries

NAMING_SECONDS = 1.0
"""CPU time for the second run: where it takes longer, sizes are shown without names."""


class StaleError(BaseException):
    """What is looked at is of no interest any more."""


@dataclass(eq=False)
class _Patient(Clock):
    """A clock that also ends what has become stale."""

    is_stale: Callable[[], bool] = bool

    def is_over(self) -> bool:
        if self.is_stale():
            raise StaleError
        return super().is_over()


@dataclass(frozen=True)
class OpenFiles:
    """Files on disk, of which some are open in the editor, with other texts there."""

    files: DiskFiles
    texts: Mapping[str, str]
    """Texts by the paths of their files."""

    def read(self, path: str) -> tuple[bytes, str]:
        for folder in (self.files.main.parent, *self.files.import_paths):
            text = self.texts.get(os.path.normpath(folder / path))
            if text is not None:
                return text.encode("utf-8", "surrogatepass"), str(folder / path)
        return self.files.read(path)


@dataclass(frozen=True)
class Origin:
    """A text with what it is compiled with."""

    text: str
    path: Path
    texts: Mapping[str, str] = field(default_factory=dict)
    """Those of other files that are open."""
    plugins: Registry = field(default_factory=Registry)
    import_paths: tuple[Path, ...] = ()
    limits: Limits = DEFAULT_LIMITS

    @property
    def name(self) -> str:
        """What the file is called in spans."""
        return str(self.path.parent / self.path.name)

    @property
    def files(self) -> OpenFiles:
        main = {os.path.normpath(self.path): self.text}
        return OpenFiles(DiskFiles(self.path, self.import_paths), {**self.texts, **main})

    @property
    def is_library(self) -> bool:
        """Whether it is a file of blocks alone, which others import."""
        root = readable(self.text, self.name)
        return root is not None and "blocks" in root and "model" not in root

    def with_text(self, text: str) -> Origin:
        """Return another text of the same file."""
        return replace(self, text=text)


@dataclass(eq=False)
class Analysis:
    """What is known of a text. What could not be found out is None."""

    origin: Origin
    diagnostics: tuple[Diagnostic, ...] = ()
    root: Entries | None = None
    """What can be read of the text."""
    loaded: Loaded | None = None
    program: ResolvedProgram | None = None
    inferred: Inferred | None = None
    plan: Plan | None = None
    record: Record = field(default_factory=Record)
    scaled: Record = field(default_factory=Record)
    """What was seen at other sizes."""
    runs: Runs | None = None

    @property
    def text(self) -> str:
        return self.origin.text

    @property
    def is_whole(self) -> bool:
        """Whether all of it compiles, as far as that was looked at."""
        return self.plan is not None

    @property
    def naming(self) -> Naming:
        return Naming(self.program.sizes if self.program else {})


def analysed(origin: Origin, is_stale: Callable[[], bool] = bool) -> Analysis:
    """Look at a text at its example sizes.

    Raises:
        StaleError: it became stale meanwhile.
    """
    found = Analysis(origin)
    with patient(origin, is_stale):
        try:
            _look(found)
        except SpecError as error:
            found.diagnostics = tuple(_shown(error.diagnostics, found.loaded))
    node = found.loaded.node if found.loaded is not None else readable(origin.text, origin.name)
    found.root = node if isinstance(node, Entries) else None
    return found


def _look(found: Analysis) -> None:
    origin = found.origin
    found.loaded = load(origin.path.name, origin.files, None, None, origin.limits)
    found.program = program = resolve(found.loaded, origin.plugins)
    engine = RecordingEngine(origin.limits, origin.plugins, default_dtype(program), program.variables_of)
    engine.record, engine.leaves.aside = found.record, []
    with with_unmade(engine, engine.leaves.aside):
        found.runs = Runs(program, engine)
        found.runs.run(program.sizes)
    if program.passed_over:
        raise SpecError(program.passed_over)
    found.inferred = found.runs.inferred()
    found.plan = rules(found.inferred, origin.limits)


def name_sizes(found: Analysis, is_stale: Callable[[], bool] = bool) -> None:
    """Run a program once more, at scaled sizes, as far as it goes.

    Raises:
        StaleError: it became stale meanwhile.
    """
    if found.runs is None or not found.runs.program.sizes or found.scaled.layers:
        return
    engine = found.runs.engine
    assert isinstance(engine, RecordingEngine)
    engine.record = found.scaled
    limits = replace(found.origin.limits, compile_seconds=NAMING_SECONDS)
    with patient(replace(found.origin, limits=limits), is_stale):
        try:
            found.runs.run(scaled(found.runs.program.sizes))
        except SpecError:  # the example sizes are shown from here on
            return
        finally:
            found.runs = None


def compiled(origin: Origin, is_stale: Callable[[], bool] = bool) -> tuple[Diagnostic, ...]:
    """Return what the whole compiler finds, as `check` does.

    Raises:
        StaleError: it became stale meanwhile.
    """
    with patient(origin, is_stale):
        try:
            compile_files(origin.path.name, origin.files, None, None, origin.plugins, origin.limits)
        except SpecError as error:
            return tuple(_shown(error.diagnostics, _library(origin)))
    return ()


def _library(origin: Origin) -> Loaded | None:
    try:
        return load(origin.path.name, origin.files, None, None, origin.limits)
    except (SpecError, OSError):
        return None


@contextmanager
def patient(origin: Origin, is_stale: Callable[[], bool]) -> Iterator[None]:
    """Compile what is inside of a `with` as long as it is of interest."""
    with _Patient(origin.limits.compile_seconds, is_stale=is_stale).running():
        yield


def _shown(diagnostics: tuple[Diagnostic, ...], loaded: Loaded | None) -> Iterator[Diagnostic]:
    """Yield what an editor shows: a file of blocks alone, which others import, lacks nothing."""
    for each in diagnostics:
        is_library = loaded is not None and loaded.document.blocks and not loaded.document.has("model")
        if not (is_library and each.code == "missing-key" and "`model`" in each.message):
            yield each
