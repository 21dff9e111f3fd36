"""The valid specs that hostile ones are made of: those of `specs/`, and the whole specs in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compiler.catalogue.plugins import Registry
from compiler.load import DiskFiles
from compiler.pipeline import registry
from spec_schema.canonical import plain, to_json, to_yaml
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_bytes

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
FENCE = re.compile(r"^```yaml\n(spec: 1\n(?:(?!```).*\n)*)```$(?!\n\n?```text)", re.MULTILINE)
"""A whole spec, and below it no diagnostics that refuse it."""
IMPORTED = re.compile(r"^import:", re.MULTILINE)


@dataclass(frozen=True)
class Original:
    """A valid spec. `main` is what is compiled; `changed` is the file that is changed, relative to its folder."""

    main: Path
    changed: str
    text: str
    line: int | None = None
    """Where it starts, if it is an example in a document."""

    def __str__(self) -> str:
        place = f":{self.line}" if self.line else "" if self.changed == self.main.name else f" {self.changed}"
        return f"{self.main.relative_to(ROOT)}{place}"

    @property
    def preset(self) -> str | None:
        return "tiny" if self.changed == self.main.name and "\n  tiny:" in self.text else None


@cache
def originals() -> list[Original]:
    """Return every valid spec, in an order that does not depend on the file system."""
    found = []
    for path in sorted(SPECS.rglob("*.yaml")):
        text = path.read_text()
        main = path if "\nmodel:" in text else user_of(path)
        found.append(Original(main, str(path.relative_to(main.parent)), text))
    for path in sorted((ROOT / "docs").glob("*.md")):
        found.extend(examples(path))
    return found


def examples(path: Path) -> Iterator[Original]:
    """Yield the specs in a document that need no other file."""
    document = path.read_text()
    for fence in FENCE.finditer(document):
        text = fence[1]
        if "\nmodel:" in text and "requires:" not in text and not IMPORTED.search(text):
            yield Original(path, path.name, text, document.count("\n", 0, fence.start(1)) + 1)


def user_of(library: Path) -> Path:
    """Return a spec that imports a file of blocks."""
    users = (path for path in sorted(SPECS.rglob("*.yaml")) if f"{library.name}:" in path.read_text())
    return next(users)


@cache
def document(original: Original) -> Any:
    """Return the plain values of an original. Copy them before you change them."""
    return plain(read_bytes(original.text.encode(), original.changed, DEFAULT_LIMITS))


def plugin_files() -> list[str]:
    return sorted(str(path) for path in SPECS.rglob("plugins/*.py"))


@cache
def plugins() -> Registry:
    return registry(plugin_files())


@cache
def bytes_of(files: DiskFiles, path: str) -> tuple[bytes, str]:
    return files.read(path)


@dataclass(frozen=True)
class Changed:
    """The files of an original with other bytes in place of one of them."""

    original: Original
    data: bytes
    json: bool = False

    @property
    def main(self) -> str:
        """The name of the file to compile; a JSON text is told by the name of its file."""
        return "spec.json" if self.json else self.original.main.name

    def read(self, path: str) -> tuple[bytes, str]:
        changed = self.main if self.json else self.original.changed
        if path == changed:
            return self.data, path
        return bytes_of(DiskFiles(self.original.main), path)


def written(original: Original, value: Any, json: bool = False) -> Changed:
    """Return the files of an original with another document in it. Only a main file can be written as JSON."""
    json = json and original.changed == original.main.name
    text = to_json(value) if json else to_yaml(value)
    return Changed(original, text.encode("utf-8", "surrogatepass"), json)
