"""Every page of the catalogue of diagnostics, replayed: its spec gives its text, and its mended spec compiles."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import compiler
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "spec_schema" / "codes").glob("*.md"))
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PACKAGES = ("spec_schema", "compiler", "runtime")

NEEDS_A_FILE_OR_A_MACHINE = frozenset(
    "bad-dataset checkpoint-broken checkpoint-missing checkpoint-tensor data-broken data-lengths data-missing "
    "data-shape metric-failed missing-device model-failed too-large too-large-to-build too-little-data too-slow "
    "training-failed not-utf8 dtype-mismatch too-many-values".split()
)
"""Codes whose cause is no text of a spec: tested beside the code that raises them, and without an example."""


@dataclass
class Page:
    """What one page shows: files to import, the refused spec, what is printed, and the mended spec."""

    code: str
    text: str
    imports: dict[str, str] = field(default_factory=dict)
    name: str = "spec.yaml"
    spec: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    preset: str | None = None
    printed: str = ""
    mended: str | None = None


def read(path: Path) -> Page:
    page = Page(path.stem, path.read_text())
    for language, info, content in FENCE.findall(page.text):
        words = info.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        if language == "text":
            page.printed = content.rstrip("\n")
        elif "file" in options:
            page.imports[options["file"]] = content
        elif "fixed" in words:
            page.mended = content
        else:
            page.name, page.spec = f"spec.{language}", content
            page.preset = options.get("preset")
            if "set" in options:
                key, value = options["set"].split("=", 1)
                page.settings[key] = value
    return page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page(path: Path) -> None:
    page = read(path)
    assert page.text.startswith(f"# {page.code}\n")
    if page.code in NEEDS_A_FILE_OR_A_MACHINE:
        return
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(
            page.spec, name=page.name, imports=page.imports, set=page.settings, preset=page.preset
        )
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [page.code]
    assert render_full(caught.value.diagnostics, False, DEFAULT_LIMITS) == page.printed
    if page.mended is not None:
        compiler.compile_text(page.mended, name=page.name, imports=page.imports)


def raised_codes() -> set[str]:
    """Return the codes that the sources give to diagnostics."""
    makers = {"refuse", "Diagnostic", "Refusal", "_report"}
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    maker = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                    first = node.args[0] if node.args else None
                    value = first.value if isinstance(first, ast.Constant) else None
                    if maker in makers and isinstance(value, str) and CODE.fullmatch(value):
                        found.add(value)
    return found


def test_every_code_has_a_page() -> None:
    assert raised_codes() - {path.stem for path in PAGES} == set()


def test_there_are_at_least_sixty_examples() -> None:
    assert sum(bool(read(path).printed) for path in PAGES) >= 60
