"""Load: from files to validated documents, with their imports."""

from __future__ import annotations

import ast
import errno
import json
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from spec_schema.bounds import kind
from spec_schema.clock import stage
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.document import Document
from spec_schema.evaluate import FUNCTIONS
from spec_schema.folders import Folders, NoFileError, OutsideError, normal, open_file
from spec_schema.grammar import parse_expression
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.reader import Entries, Node, Scalar, read_bytes, read_text
from spec_schema.scalars import shorten
from spec_schema.source import SourceFile, Span
from spec_schema.suggest import did_you_mean
from spec_schema.validation import validate
from spec_schema.walk import walk

Settings = Mapping[str, object]
REMEMBERED, REMEMBERED_BYTES = 64, 1 << 16
"""Documents that are remembered, before all are forgotten, and of how long a text. Nothing changes a document."""
_documents: dict[tuple[bytes, str, Limits], tuple[Node, Document]] = {}


class Files(Protocol):
    """Where the text of a spec and of its imports comes from."""

    def read(self, path: str) -> tuple[bytes, str]:
        """Return the bytes of a path, relative to the main spec's folder, and the name to show."""


@dataclass(frozen=True)
class DiskFiles:
    """The main spec, wherever its name leads, and what is below its folder or below an import path of the caller's."""

    main: Path
    import_paths: tuple[Path, ...] = ()
    file_bytes: int = DEFAULT_LIMITS.file_bytes

    def read(self, path: str) -> tuple[bytes, str]:
        if path == self.main.name:
            with self.main.open("rb") as stream:  # of the caller's choice: it may be a pipe
                return stream.read(self.file_bytes + 1), str(self.main)
        for folder in (self.main.parent, *self.import_paths):
            if (data := self._below(folder, path)) is not None:
                return data, str(folder / path)
        raise FileNotFoundError(path)

    def _below(self, folder: Path, path: str) -> bytes | None:
        """Return the bytes of a file below a folder, None if there is none."""
        try:
            with open_file(Folders(folder).find(path)) as stream:
                return stream.read(self.file_bytes + 1)
        except (OutsideError, FileNotFoundError):
            return None
        except NoFileError as error:
            raise OSError(errno.EINVAL, f"it is {error}", path) from None


@dataclass(frozen=True)
class BundledFiles:
    """Files that a saved model carries."""

    texts: Mapping[str, str]
    name: str

    def read(self, path: str) -> tuple[bytes, str]:
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path].encode(), f"{self.name}:{path}"


@dataclass(frozen=True, eq=False)
class Loaded:
    """One file's document with what it imports. `path` is relative to the main spec's folder."""

    path: str
    name: str
    node: Node
    document: Document
    imports: Mapping[str, Loaded] = field(default_factory=dict)
    overrides: Mapping[str, Node] = field(default_factory=dict)
    """Values of `vars` from a preset or from the caller."""

    @property
    def title(self) -> str:
        """The class name of the model: from `name`, else from the file."""
        written = self.document.name.text if self.document.name else PurePosixPath(self.path).stem
        words = re.findall(r"[A-Za-z0-9]+", written)
        name = "".join(word[:1].upper() + word[1:] for word in words)
        return name if name[:1].isalpha() and not keyword.iskeyword(name) else f"Model{name}"


@stage("load")
def load(
    path: str,
    files: Files,
    settings: Settings | None = None,
    preset: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Loaded:
    """Read and validate a spec and everything that it imports.

    Raises:
        SpecError: a file is not a valid spec.
        FileNotFoundError: the main file is not there.
    """
    loaded = _load(path, files, limits, (), {})
    overrides = {**_preset(loaded, preset), **_settings(loaded, settings or {}, limits)}
    return Loaded(loaded.path, loaded.name, loaded.node, loaded.document, loaded.imports, overrides)


def _load(path: str, files: Files, limits: Limits, trail: tuple[str, ...], done: dict[str, Loaded]) -> Loaded:
    data, name = files.read(path)
    node, document = _read(data, name, limits)
    imports = {}
    problems: list[Diagnostic] = []
    for target, at in document.keys_of("import").items():
        try:
            imports[target] = _import(path, target, at.span, files, limits, (*trail, path), done)
        except SpecError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise SpecError(problems)
    return Loaded(path, name, node, document, imports)


def _read(data: bytes, name: str, limits: Limits) -> tuple[Node, Document]:
    """Return a file's document. The same bytes under the same name are read once, such as those of imports."""
    key = data, name, limits
    if key not in _documents:
        node = read_bytes(data, name, limits)
        found = node, validate(node)
        if len(data) > REMEMBERED_BYTES:
            return found
        if len(_documents) >= REMEMBERED:
            _documents.clear()
        _documents[key] = found
        return found
    return _documents[key]


def _import(
    importer: str,
    target: str,
    place: Span,
    files: Files,
    limits: Limits,
    trail: tuple[str, ...],
    done: dict[str, Loaded],
) -> Loaded:
    """Return an imported file; `done` holds those that are loaded, `trail` those that lead to it."""
    path = _inside(importer, target, place)
    _check_trail(path, target, place, limits, trail)
    if path not in done:
        done[path] = _load_import(path, target, place, files, limits, trail, done)
    return done[path]


def _inside(importer: str, target: str, place: Span) -> str:
    """Return the path of an import relative to the main spec's folder, which it must not leave."""
    path = normal(str(PurePosixPath(importer).parent / target))
    if path is None or PurePosixPath(target).is_absolute():
        raise refuse(
            "import-outside",
            f"`{target}` is outside the spec's own folder",
            place,
            help="move it below the folder, or name its folder with `--import-path`",
        )
    return path


def _check_trail(path: str, target: str, place: Span, limits: Limits, trail: tuple[str, ...]) -> None:
    """Refuse an import that leads back to itself, or too far."""
    if path in trail:
        raise refuse(
            "import-cycle",
            f"`{target}` imports itself",
            place,
            notes=(" → ".join([*trail[trail.index(path) :], path]),),
        )
    if len(trail) > limits.import_depth:
        message = f"imports are nested more than {limits.import_depth} deep"
        raise refuse("import-depth", message, place, notes=(" → ".join([*trail, path]),))


def _load_import(
    path: str,
    target: str,
    place: Span,
    files: Files,
    limits: Limits,
    trail: tuple[str, ...],
    done: dict[str, Loaded],
) -> Loaded:
    """Load an imported file, and refuse the import if the file cannot be read."""
    try:
        return _load(path, files, limits, trail, done)
    except FileNotFoundError:
        raise refuse(
            "import-missing",
            f"there is no file `{target}`",
            place,
            notes=("imports are relative to the file that they stand in",),
        ) from None
    except OSError as error:
        raise refuse(
            "import-missing",
            f"`{target}` cannot be read: {error.strerror or error}",
            place,
            help="import a file that you may read",
        ) from None


def _preset(loaded: Loaded, preset: str | None) -> dict[str, Node]:
    """Return the values of a preset; all presets are checked, whichever is chosen."""
    tables = loaded.document.table("presets") if loaded.document.has("presets") else {}
    problems: list[Diagnostic] = []
    for table in tables.values():
        assert isinstance(table, Entries)
        problems.extend(
            p for key, at in table.keys_at.items() if (p := _problem(loaded, key, at, table[key]))
        )
    if problems:
        raise SpecError(problems)
    if preset is None:
        return {}
    if preset not in tables:
        near = did_you_mean(preset, tables)
        raise refuse(
            "unknown-preset",
            f"the spec has no preset `{shorten(preset)}`",
            Span(SourceFile("--preset", preset), 0, len(preset)),
            notes=() if near else (f"presets: {', '.join(tables) or 'none'}",),
            help=f"did you mean `{near}`?" if near else None,
        )
    chosen = tables[preset]
    assert isinstance(chosen, Entries)
    return dict(chosen)


def _settings(loaded: Loaded, settings: Settings, limits: Limits) -> dict[str, Node]:
    """Read the caller's values of `vars`, each as a text of its own."""
    values: dict[str, Node] = {}
    problems: list[Diagnostic] = []
    for key, value in settings.items():
        text = value if isinstance(value, str) else json.dumps(value)
        try:
            values[key] = _as_text(loaded, key, read_text(text, f"--set {key}", limits))
        except SpecError as error:
            problems.extend(error.diagnostics)
            continue
        if problem := _problem(loaded, key, values[key], values[key]):
            problems.append(problem)
    if problems:
        raise SpecError(problems)
    return values


def _as_text(loaded: Loaded, key: str, given: Node) -> Node:
    """Return what the caller gives for a variable; a bare text is one where the spec's own value is one."""
    declared = loaded.document.table("vars").get(key) if key in loaded.document.vars else None
    if not (isinstance(declared, Scalar) and isinstance(given, Scalar) and isinstance(given.value, str)):
        return given
    if (
        not _is_quoted(declared)
        or set("'\"") & set(given.text)
        or _means_something(given, loaded.document.vars)
    ):
        return given
    quoted = repr(given.text)
    return Scalar(quoted, given.span, given.style, quoted)


def _is_quoted(declared: Scalar) -> bool:
    """Return whether the value of a variable is a text in quotes of its own."""
    try:
        tree = parse_expression(declared).tree
    except SpecError:
        return False
    return isinstance(tree, ast.Constant) and isinstance(tree.value, str)


def _means_something(given: Scalar, variables: Iterable[str]) -> bool:
    """Return whether a text is an expression over variables."""
    try:
        tree = parse_expression(given).tree
    except SpecError:
        return False
    functions = () if isinstance(tree, ast.Name) else FUNCTIONS  # `sum` alone is a text
    return {n.id for n in walk(tree) if isinstance(n, ast.Name)} <= {*variables, *functions}


def _problem(loaded: Loaded, key: str, place: Node, value: Node) -> Diagnostic | None:
    """Return what is wrong with a value for a variable, from a preset or from the caller."""
    known = list(loaded.document.vars)
    if key in known:
        return _type_problem(key, loaded.document.table("vars")[key], value)
    near = did_you_mean(key, known)
    return Diagnostic(
        "unknown-variable",
        f"the spec has no variable `{shorten(key)}`",
        place.span,
        notes=() if near else (f"variables: {', '.join(known) or 'none'}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def _type_problem(key: str, declared: Node, given: Node) -> Diagnostic | None:
    """Return a diagnostic if a value has another type than the one in the spec."""
    if not (isinstance(declared, Scalar) and isinstance(given, Scalar)):
        return None
    wanted, got = type(declared.value), type(given.value)
    expressions = wanted is str or got is str
    if expressions or wanted is got or (wanted is float and got is int) or declared.value is None:
        return None
    return Diagnostic(
        "variable-type",
        f"`{key}` is {kind(declared.value)}, and this is {kind(given.value)}",
        given.span,
        labels=(Label(declared.span, "declared here"),),
    )
