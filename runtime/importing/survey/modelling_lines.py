"""How many lines of a library's own source a model is: what its spec is measured against.

Counted are the classes of which a method ran while the model was made and run once, each class once and whole, and the
functions that these methods called; of the library's modelling folders alone, without blank lines, comments and
docstrings. What merely looks a model up, a registry for one, is not counted.
"""

from __future__ import annotations

import ast
import functools
import io
import sys
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from torch import nn

_SILENT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@contextmanager
def noted(folders: Sequence[Path]) -> Iterator[set[CodeType]]:
    """Note the code in these folders that runs within a method of a module."""
    ran: set[CodeType] = set()
    inside = tuple(f"{each}/" for each in folders)

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or code in ran or not code.co_filename.startswith(inside):
            return
        if _within_module(frame, inside):
            ran.add(code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield ran
    finally:
        sys.setprofile(before)


def _within_module(frame: FrameType | None, inside: tuple[str, ...]) -> bool:
    while frame is not None:
        code = frame.f_code
        first = code.co_varnames[0] if code.co_argcount and code.co_filename.startswith(inside) else ""
        if isinstance(frame.f_locals.get(first), nn.Module):
            return True
        frame = frame.f_back
    return False


def modelling_lines(ran: set[CodeType]) -> tuple[int, int]:
    """Return the lines of the classes and functions that ran, and those of their methods that ran alone."""
    whole: set[tuple[str, int]] = set()
    alone: set[tuple[str, int]] = set()
    for code in ran:
        name, line = code.co_filename, code.co_firstlineno
        outer = _around(_definitions(name), line)
        if outer is None:
            continue
        methods = [each for each in outer.body if isinstance(each, _Definition)]
        inner = _around(methods, line) if isinstance(outer, ast.ClassDef) else None
        whole |= {(name, each) for each in _lines_of(outer) & code_lines(name)}
        alone |= {(name, each) for each in _lines_of(inner or outer) & code_lines(name)}
    return len(whole), len(alone)


def spec_lines(text: str) -> int:
    """Return how many lines of a spec are neither blank nor a comment."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


@functools.cache
def code_lines(name: str) -> frozenset[int]:
    """Return the lines of a file that hold code: no comment, docstring or blank line."""
    text = Path(name).read_text()
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(found)


@functools.cache
def _definitions(name: str) -> list[_Definition]:
    """Return the outermost classes and functions of a file, those under a condition too."""
    found: list[_Definition] = []
    todo: list[ast.stmt] = list(ast.parse(Path(name).read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, _Definition):
            found.append(node)
        else:
            todo += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]
    return found


def _around(nodes: Sequence[_Definition], line: int) -> _Definition | None:
    return next((each for each in nodes if line in _lines_of(each)), None)


def _lines_of(node: _Definition) -> set[int]:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return set(range(first, (node.end_lineno or node.lineno) + 1))
