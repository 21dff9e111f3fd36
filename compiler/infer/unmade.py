"""Layers that no call has reached when something else is refused: what is wrong with their arguments is told too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from compiler.infer.block_parameters import float_dtype
from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.context import Context
from compiler.infer.dtypes import FLOAT
from compiler.infer.on_meta import meta_device
from compiler.infer.reasons import reason
from compiler.infer.states import Leaf
from compiler.infer.values import Recipe
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.source import Span

STAND_IN = 55_440
"""A size in the place of one that only the input tells: the numbers up to 12 divide it."""
COSTLY = frozenset({"too-slow", "too-many-modules"})
"""Codes of refusals behind which nothing more is computed."""


@contextmanager
def with_unmade(engine: Context, aside: Sequence[Diagnostic]) -> Iterator[None]:
    """Raise what was put aside; add to a refusal what the constructors of other layers of torch refuse."""
    try:
        yield
    except SpecError as error:
        told = [*aside, *error.diagnostics]
        costly = any(each.code in COSTLY for each in told)
        raise SpecError(told if costly else [*told, *_unmade(engine, told)]) from None
    if aside:
        raise SpecError([*aside, *_unmade(engine, aside)])


def _unmade(engine: Context, told: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    done = [each.span for each in told if each.span is not None]
    with meta_device(torch.float32):
        for state in list(engine.builder.shared.values()):
            if not isinstance(state, Leaf) or any(_is_in(span, state.node.span) for span in done):
                continue
            problem = _refused(state)
            if problem is not None:
                done.append(state.node.span)
                yield problem


def _is_in(span: Span, place: Span) -> bool:
    return span.file is place.file and place.start <= span.start < place.end


def _refused(state: Leaf) -> Diagnostic | None:
    """Return what the constructor says of the arguments that are written."""
    is_plain = not any(isinstance(each, Recipe) for each in state.values.values())
    if state.layer.source != "torch.nn" or not is_plain or any("layers" in name for name in state.values):
        return None
    sizes = {each.name for each in state.layer.arguments if each.deferred} - state.values.keys()
    try:
        with float_dtype(FLOAT):
            state.layer.cls(**state.values, **dict.fromkeys(sizes, STAND_IN))
    except TORCH_ERRORS as error:
        why = reason(error)
        if any(name in why for name in (*sizes, str(STAND_IN))):
            return None  # of a size that is not the real one
        message = f"`{state.layer.name}` cannot be made: {why}"
        return Diagnostic("bad-argument", message, state.node.span)
    return None
