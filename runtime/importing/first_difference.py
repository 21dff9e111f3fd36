"""Where a spec first has another value than its module: both run, and each value of one is looked for in the other.

A statement may say in one expression what the module does in several, so that what its value comes from counts for
nothing: the first statement whose value the module never has is the one.
"""

from __future__ import annotations

import ast
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from compiler.artifact import Artifact
from compiler.program import Definition, ModuleBody
from runtime.importing.comparing import Pair, run
from runtime.importing.positions import OF_TORCH, position_of
from runtime.importing.records import Position
from runtime.importing.structures import tensors_in
from runtime.importing.trials import Inputs
from spec_schema.source import Span

EMITTED = "<blockprint "
_HERE = os.path.dirname(__file__) + os.sep
SAMPLES = 8
SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)


@dataclass(frozen=True)
class Seen:
    """A value that a program had: what tells it from others, where it was made, and in which layer."""

    print: tuple[float, ...]
    shape: tuple[int, ...]
    position: Position
    frame: int
    path: str


@dataclass(frozen=True)
class FirstDifference:
    """The first statement of a spec with a value that the module never has."""

    statement: Span | None
    source: Position | None
    """What the module does there instead."""
    path: str
    """The layer that it is in, or its statement calls."""


class Watch(TorchFunctionMode):
    """Takes note of each value that a run has."""

    def __init__(self, root: nn.Module, is_own: Callable[[str], bool]) -> None:
        super().__init__()
        self.paths = {each: name for name, each in root.named_modules()}
        self.is_own = is_own
        self.seen: list[Seen] = []
        self.inside: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        frame = self.own_frame()
        if frame is not None:
            with torch._C.DisableTorchFunction():
                self.seen += [self.seen_of(each, frame) for each in tensors_in(result)]
        return result

    def own_frame(self) -> FrameType | None:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and not self.is_own(frame.f_code.co_filename):
            if frame.f_code.co_filename == __file__ and frame.f_code.co_name == "_watched":
                return None
            frame = frame.f_back
        return frame

    def seen_of(self, tensor: Tensor, frame: FrameType) -> Seen:
        path = self.inside[-1] if self.inside else ""
        return Seen(_print(tensor), tuple(tensor.shape), position_of(frame), id(frame), path)

    def enter(self, module: nn.Module, args: Any) -> None:
        self.inside.append(self.paths.get(module, self.inside[-1] if self.inside else ""))

    def leave(self, module: nn.Module, args: Any, result: Any) -> None:
        self.inside.pop()


def _print(tensor: Tensor) -> tuple[float, ...]:
    """Return some numbers that tell a tensor from others."""
    flat = tensor.detach().flatten()
    if not flat.numel():
        return ()
    flat = torch.view_as_real(flat.resolve_conj()).flatten() if flat.is_complex() else flat
    places = torch.linspace(0, flat.numel() - 1, SAMPLES).long()
    flat = flat.double()
    return (float(flat.sum()), float(flat.abs().sum()), *flat[places].tolist())


def _equal(one: Seen, other: Seen) -> bool:
    return one.shape == other.shape and all(
        math.isclose(first, second, rel_tol=1e-8, abs_tol=1e-9) or (math.isnan(first) and math.isnan(second))
        for first, second in zip(one.print, other.print, strict=True)
    )


def _watched(
    module: nn.Module, args: Sequence[Tensor], inputs: Inputs, training: bool, own: bool
) -> list[Seen]:
    """Return the values that a run has, as far as it comes."""
    module.train(training)
    watch = Watch(module, _is_emitted if own else _is_authors)
    handles = [
        nn.modules.module.register_module_forward_pre_hook(watch.enter),
        nn.modules.module.register_module_forward_hook(watch.leave, always_call=True),
    ]
    try:
        run(module, args, inputs, training, watch)
    except Exception:
        return watch.seen  # what was seen until then may tell why
    finally:
        for each in handles:
            each.remove()
    return watch.seen


def _is_emitted(name: str) -> bool:
    return name.startswith(EMITTED)


def _is_authors(name: str) -> bool:
    return not name.startswith((OF_TORCH, _HERE, "<frozen"))


def first_difference(
    pair: Pair, artifact: Artifact, inputs: Inputs, training: bool
) -> FirstDifference | None:
    """Return where a model first has another value than the module on such inputs."""
    theirs = _watched(pair.theirs, (), inputs, training, own=False)
    ours = _watched(pair.ours, [inputs[name] for name in pair.read], {}, training, own=True)
    ends = list(_statements(ours))
    place = 0
    for number, each in enumerate(ends):
        found = _place_of(each, theirs, place)
        if found is None:
            before = _last_place(ends[:number], theirs)
            source = _unknown(theirs[before:], ours)
            return FirstDifference(_statement_of(artifact, each.position.line), source, each.path)
        place = found + 1
    return None


def _statements(seen: Sequence[Seen]) -> Iterator[Seen]:
    """Yield the last of the values that each statement has in a row."""
    for each, after in zip(seen, [*seen[1:], None], strict=True):
        if after is None or (each.frame, each.position.line) != (after.frame, after.position.line):
            yield each


def _place_of(value: Seen, among: Sequence[Seen], start: int) -> int | None:
    """Return where an equal value stands, from a place on rather than before it."""
    places = [*range(start, len(among)), *range(min(start, len(among)))]
    return next((place for place in places if _equal(value, among[place])), None)


def _last_place(ours: Iterable[Seen], theirs: Sequence[Seen]) -> int:
    last = -1
    for each in ours:
        found = _place_of(each, theirs, last + 1)
        last = last if found is None else max(last, found)
    return last + 1


def _unknown(theirs: Sequence[Seen], ours: Sequence[Seen]) -> Position | None:
    """Return where the first value is made that the model never has, or else the first."""
    for each in theirs:
        if _place_of(each, ours, 0) is None:
            return each.position
    return theirs[0].position if theirs else None


# --- the statement of the spec -------------------------------------------------------------------------


def _statement_of(artifact: Artifact, line: int) -> Span:
    """Return the statement of the spec that an emitted line was made of, or else its block."""
    cls = next(each for each in _classes(artifact) if each.lineno <= line <= (each.end_lineno or 0))
    block = artifact.program.scope.blocks.get(cls.name, artifact.program.model)
    return _in_program(block, cls, line) or block.span


def _classes(artifact: Artifact) -> list[ast.ClassDef]:
    return [each for each in ast.parse(artifact.class_source).body if isinstance(each, ast.ClassDef)]


def _in_program(block: Definition, cls: ast.ClassDef, line: int) -> Span | None:
    program = block.body.program if isinstance(block.body, ModuleBody) else None
    forward = next(
        (each for each in cls.body if isinstance(each, ast.FunctionDef) and each.name == "forward"), None
    )
    if program is None or forward is None:
        return None
    emitted, own = list(_simple(forward.body)), list(_simple(program.body))
    if len(emitted) > len(own):
        emitted = _without_returns(emitted)
    at = next((each for each in emitted if each.lineno <= line <= (each.end_lineno or 0)), None)
    if at is None:
        return None
    if len(emitted) == len(own):
        return program.span(own[emitted.index(at)])
    alike = [each for each in emitted if _assigned(each) == _assigned(at)]
    same = [each for each in own if _assigned(each) == _assigned(at)]
    return program.span(same[alike.index(at)]) if len(alike) == len(same) else None


def _simple(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that hold no others, in their order."""
    for each in body:
        if isinstance(each, SIMPLE):
            yield each
        for name in ("body", "orelse"):
            yield from _simple(getattr(each, name, ()))


def _without_returns(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return statements without the returns of what the one before gave a name to: there the spec returns the value."""
    pairs = zip([None, *statements], statements, strict=False)
    return [
        each
        for before, each in pairs
        if not (isinstance(each, ast.Return) and before is not None and _returned(each) == _assigned(before))
    ]


def _returned(statement: ast.Return) -> str:
    return ast.unparse(statement.value) if statement.value is not None else ""


def _assigned(statement: ast.stmt) -> str:
    """Return what a statement gives values to; "return" for one that ends a program."""
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return " ".join(ast.unparse(each) for each in targets if each is not None) or type(statement).__name__
