"""Where in the author's source a run is, and what it cannot go on with."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Iterator
from itertools import islice
from types import FrameType

import torch
from torch import nn

from runtime.importing.records import Position
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import SourceFile, Span

OF_TORCH = os.path.dirname(torch.__file__) + os.sep
_EINOPS = os.sep + "einops" + os.sep
_HERE = os.path.dirname(__file__) + os.sep


def author_frames(entering: bool) -> list[FrameType]:
    """Return the frames of the module that runs now, from the innermost call of its own code outwards.

    `entering` says that it is about to call another one.
    """
    return list(_frames(entering))


def _frames(entering: bool) -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_HERE) and frame.f_code.co_name == "call_module":
            if not entering:
                return
            entering = False
        elif not name.startswith((OF_TORCH, _HERE)) and _EINOPS not in name:
            yield frame
        frame = frame.f_back


def position_of(frame: FrameType) -> Position:
    """Return the place of the expression that a frame is at, columns counted from 0 in bytes."""
    code = frame.f_code
    start, end, column, end_column = next(islice(code.co_positions(), frame.f_lasti // 2, None))
    line = start or frame.f_lineno
    return Position(code.co_filename, line, column or 0, end or line, end_column or 0)


def position_of_error(error: BaseException) -> Position | None:
    """Return the place of the author's own code that is nearest to where an error was raised."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith((OF_TORCH, _HERE)):
            start, end, column, end_column = next(islice(code.co_positions(), trace.tb_lasti // 2, None))
            line = start or trace.tb_lineno
            found = Position(code.co_filename, line, column or 0, end or line, end_column or 0)
        trace = trace.tb_next
    return found


def said(position: Position | None, dtype: torch.dtype) -> bool:
    """Return whether the author writes a dtype by its name at a place, and not that of some tensor."""
    if position is None:
        return False
    lines = linecache.getlines(position.file)[position.line - 1 : max(position.line, position.end_line)]
    return str(dtype) in "".join(lines)


def definition_of(module: nn.Module) -> Position | None:
    """Return the first line of the `forward` of a module, if there is a source of it."""
    code = getattr(inspect.unwrap(module.forward), "__code__", None)
    line = linecache.getline(code.co_filename, code.co_firstlineno).rstrip() if code is not None else ""
    if code is None or not line:
        return None
    start = len(line) - len(line.lstrip())
    return Position(code.co_filename, code.co_firstlineno, start, code.co_firstlineno, len(line.encode()))


def span_of(position: Position | None) -> Span | None:
    """Return what a diagnostic points at."""
    if position is None:
        return None
    lines = linecache.getlines(position.file)
    if not lines:
        return None
    file = SourceFile(position.file, "".join(lines))
    start = file.offset(position.line, _characters(lines, position.line, position.column) + 1)
    end = file.offset(position.end_line, _characters(lines, position.end_line, position.end_column) + 1)
    return Span(file, start, max(end, start + 1))


def _characters(lines: list[str], line: int, column: int) -> int:
    """Return how many characters stand in front of a column that counts bytes."""
    return len(lines[line - 1].encode()[:column].decode(errors="ignore"))


def refuse_at(position: Position | None, code: str, message: str, *, help: str | None = None) -> SpecError:
    """Return the refusal of what stands at a place of the model's source."""
    notes = () if position is None or span_of(position) else (f"at {position}",)
    return refuse(code, message, span_of(position), notes=notes, help=help)
