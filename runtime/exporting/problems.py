"""What cannot be exported, told at the block of the spec where torch gave up."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Iterator
from inspect import signature

from compiler.artifact import Artifact
from runtime.classes import root_class
from runtime.exporting.dimensions import OpenDimensions
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span

CODE = "not-exported"
FRAME = re.compile(r'File "(<blockprint [^"]*>)", line (\d+), in (\w+)')
"""A line of the emitted source in a stack that torch tells in words."""
ADVICE = re.compile(
    r"! For more information, run with TORCH_LOGS=\S+|If you're using mark_dynamic.*| \(unhinted: .*"
)
ASIDE = ("The error above occurred when calling", "For more information", "- Create an ", "- Debug the model")
LONGEST = 240


def not_exported(artifact: Artifact, message: str, *notes: str, help: str | None = None) -> SpecError:
    """Return the refusal of a model as a whole."""
    return refuse(CODE, message, artifact.program.model.span, notes=notes, help=help)


def not_captured(dimensions: OpenDimensions, error: Exception) -> SpecError:
    """Return the refusal of a model of which torch makes no graph."""
    fixed = _fixed(dimensions, error)
    if fixed:
        listed = " and ".join(f"`{name}`" for name in fixed)
        sizes = " ".join(f"--fix {name}={dimensions.example[name]}" for name in fixed)
        return failed(
            dimensions.artifact,
            f"{listed} cannot stay open",
            error,
            help=f"`{sizes}` exports the model at that size alone",
        )
    if "data-dependent expression" in str(error):
        return failed(dimensions.artifact, "what a tensor holds decides the way, and a graph has one", error)
    return failed(dimensions.artifact, "torch.export makes no graph of this", error)


def _fixed(dimensions: OpenDimensions, error: Exception) -> list[str]:
    """Return the open dimensions that an error of torch says have one size."""
    if "specialized it to be a constant" not in str(error) and "Expected a constraint on" not in str(error):
        return []
    marked = re.findall(r"L\['(\w+)'\]\.size\(\)\[(\d+)\]", str(error))
    arguments = [*signature(root_class(dimensions.artifact).forward).parameters][1:]
    texts = {name: dimensions.texts(entry) for name, entry in zip(arguments, dimensions.inputs, strict=True)}
    found = [texts.get(name, {}).get(int(axis), "") for name, axis in marked]
    return [name for name in dimensions.names if name in found] or list(dimensions.names)


def failed(artifact: Artifact, message: str, error: Exception, help: str | None = None) -> SpecError:
    """Return what is refused since torch failed, at the block where it did, with its own words."""
    span, place = _place(artifact, error)
    notes = [f"{type(error).__name__}: {_reason(error)}", *([place] if place else [])]
    return refuse(CODE, message, span, notes=tuple(notes), help=help)


def _reason(error: Exception) -> str:
    """Return the first lines of an error that say something to a user."""
    lines = [
        ADVICE.sub("", re.sub(r"\x1b\[\d+m", "", line)).strip()
        for line in str(_innermost(error)).splitlines()
    ]
    said = [line for line in lines if line and not line.startswith(ASIDE)]
    text = " ".join(said[:3])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _innermost(error: BaseException) -> BaseException:
    """Return what an error comes from: torch's exporter says around it that there was one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _place(artifact: Artifact, error: Exception) -> tuple[Span, str]:
    """Return the block that the innermost emitted line stands in, and that line."""
    frames = [*_frames(error)]
    if not frames:
        return artifact.program.model.span, ""
    line, function = frames[-1]
    owner = next((each for each in _classes(artifact) if each.lineno <= line <= (each.end_lineno or 0)), None)
    text = artifact.class_source.splitlines()[line - 1].strip()
    name = artifact.name if owner is None else owner.name
    block = artifact.program.scope.blocks.get(name, artifact.program.model)
    return block.span, f"in `{function}` of {name}, as emitted: {text}"


def _frames(error: BaseException | None) -> Iterator[tuple[int, str]]:
    """Yield the lines of the emitted source that an error, and what it comes from, went through."""
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename.startswith("<blockprint ") and frame.lineno is not None:
                yield frame.lineno, frame.name
        for found in FRAME.finditer(str(error)):
            yield int(found[2]), found[3]
        error = error.__cause__


def _classes(artifact: Artifact) -> list[ast.ClassDef]:
    return [each for each in ast.parse(artifact.class_source).body if isinstance(each, ast.ClassDef)]
