"""Specs with something wrong in them: every one compiles or is refused where it is wrong, and nothing else happens.

A valid spec of `specs/` is taken apart, one to three places of it are changed, and it is compiled again.
"""

from __future__ import annotations

import copy
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import compiler
from compiler.catalogue.plugins import Registry
from compiler.load import DiskFiles
from compiler.pipeline import compile_files, registry
from spec_schema.canonical import plain, to_yaml
from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_file
from spec_schema.render import render_full, render_json, render_short
from tests.hostile.places import Place, at, places

SPECS = Path(__file__).parents[1] / "specs"
PATHS = sorted(path for path in SPECS.rglob("*.yaml") if path.parent.name != "zoo")
PLUGINS = sorted(str(path) for path in SPECS.rglob("plugins/*.py"))

VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        2.5,
        10**9,
        1e308,
        "",
        "x",
        "3",
        "x + 1",
        "1 / 0",
        "*",
        "/",
        "class",
        "forward",
        "n" * 70,
    ),
    *(
        "Linear",
        "ReLU",
        "relu",
        "Linear(3",
        "Linear(-3)",
        "Linear(n)",
        "lambda: 1",
        "x.__class__",
        "eval('1')",
    ),
    *("float[batch]", "float[0]", "range(3)", "index", "'t'", "a.b", "[[1]]", [], {}, [1], {"a": 1}),
]
PIECES = [*"()[]{},.:=_-*/#'\"0aé\n ", "if ", "not ", "None", "2**70", "Linear", "\\", "return x", "self."]


@cache
def document(path: Path) -> Any:
    return plain(read_file(path, None, DEFAULT_LIMITS))


@cache
def plugins() -> Registry:
    return registry(PLUGINS)


def texts(value: str) -> st.SearchStrategy[str]:
    """Draw a text with a slip in it: something too much, too little, or other than it was."""

    def slip(start: int, length: int, piece: str) -> str:
        return value[:start] + piece + value[start + length :]

    pieces = st.sampled_from(["", *PIECES])
    return st.builds(slip, st.integers(0, len(value)), st.integers(0, 4), pieces)


def wrapped(value: Any) -> list[Any]:
    """Return a value inside each form of the language."""
    return [
        [value],
        {"residual": value},
        {"repeat": 2, "of": value},
        {"parallel": [value, value], "combine": "add"},
        {"if": "1", "then": value},
        {"layer": value},
        {"a": value},
    ]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Path, Any]:
    path = draw(st.sampled_from(PATHS))
    value = copy.deepcopy(document(path))
    for _ in range(draw(st.integers(1, 3))):
        inner = [place for place in places(value) if place]
        if inner:
            mutate(draw, value, draw(st.sampled_from(inner)))
    return path, value


def mutate(draw: st.DrawFn, value: Any, place: Place) -> None:
    """Change a document in one place."""
    parent, key = at(value, place[:-1]), place[-1]
    old = parent[key]
    match draw(st.sampled_from(["delete", "retype", "rename", "slip", "repeat", "wrap", "borrow"])):
        case "delete":
            del parent[key]
        case "retype":
            parent[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        case "rename" if isinstance(parent, dict):
            new = draw(texts(str(key)))
            items = [(new if name == key else name, item) for name, item in parent.items()]
            parent.clear()
            parent.update(items)
        case "slip" if isinstance(old, str):
            parent[key] = draw(texts(old))
        case "repeat" if isinstance(parent, list):
            parent.insert(int(key), copy.deepcopy(old))
        case "wrap":
            parent[key] = draw(st.sampled_from(wrapped(old)))
        case _:
            other = document(draw(st.sampled_from(PATHS)))
            parent[key] = copy.deepcopy(at(other, draw(st.sampled_from(places(other)))))


class Changed(DiskFiles):
    """The files of a spec, with another text in place of the spec itself."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(path.parent)
        object.__setattr__(self, "changed", (path.name, text))

    def read(self, path: str) -> tuple[bytes, str]:
        name, text = self.changed  # type: ignore[attr-defined]
        return (text.encode(), name) if path == name else super().read(path)


def outcome(path: Path, text: str) -> tuple[Diagnostic, ...]:
    """Compile a text in place of a spec; return why it was refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile_files(path.name, Changed(path, text), None, None, plugins(), DEFAULT_LIMITS)
        except compiler.SpecError as error:
            return error.diagnostics or (Diagnostic("empty", "refused without a reason", None),)
    return ()


def located(diagnostics: tuple[Diagnostic, ...]) -> bool:
    """Say whether each diagnostic has a place, and all of them can be shown in every form."""
    shown = [
        render_full(diagnostics, False, DEFAULT_LIMITS),
        render_short(diagnostics, DEFAULT_LIMITS),
        render_json(diagnostics),
    ]
    return (
        all(shown) and all(diagnostic.span is not None for diagnostic in diagnostics) if diagnostics else True
    )


EXAMPLES = max(
    300, settings.default.max_examples
)  # a mutation is cheap, and most are refused before torch is asked


@settings(max_examples=EXAMPLES)
@given(mutated())
def test_a_changed_document_compiles_or_is_refused_in_its_place(spec: tuple[Path, Any]) -> None:
    path, value = spec
    assert located(outcome(path, to_yaml(value)))


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(PATHS), st.data())
def test_a_changed_text_compiles_or_is_refused_in_its_place(path: Path, data: st.DataObject) -> None:
    assert located(outcome(path, data.draw(texts(path.read_text()))))
