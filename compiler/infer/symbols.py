"""Symbolic dimensions: the example sizes replaced by symbols of torch, which prove what they print.

A size is shown as a name, or as a formula of names, where torch's own symbolic shapes derive it; where a model
forces a symbol to its example size, the size is shown. Nothing is guessed. A size that data decide is a symbol that
torch makes itself: `u0`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from compiler.infer.chosen import chosen_sizes
from compiler.infer.named_size import MAX_FORMULA, Size

Symbols = Mapping[str, Any]
"""The symbolic size of each named dimension: a `torch.SymInt`."""


@contextmanager
def symbolic_sizes(sizes: Mapping[str, int]) -> Iterator[Symbols]:
    """Make a symbol of each named size, and every tensor one of symbolic shape, for the time of a `with`.

    Sizes of 0 and 1 stay numbers, since they mean something of their own in broadcasting.
    """
    from torch._dynamo.source import ConstantSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

    class Environment(ShapeEnv):
        """Also answers for the sizes that data decide, with an example: a run over symbols takes one way."""

        def create_unbacked_symint(self, *arguments: Any, **keywords: Any) -> torch.SymInt:
            made: torch.SymInt = super().create_unbacked_symint(*arguments, **keywords)
            self.set_real_tensor_prop_unbacked_vals(made.node.expr, next(chosen))
            return made

    chosen = chosen_sizes()
    environment = Environment(duck_shape=False, specialize_zero_one=True)
    symbols: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, size in sizes.items():
        if size < 2:
            symbols[name] = size
            continue
        source = ConstantSource(name)
        symbol = environment.create_symbol(size, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None)
        symbols[name] = environment.create_symintnode(symbol, hint=size, source=source)
        names[str(symbol)] = name
    _names[environment] = names
    with _silent(), FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True):
        yield symbols


@contextmanager
def _silent() -> Iterator[None]:
    """Keep torch from logging the errors that this run is there to explain."""
    loggers = [logging.getLogger(f"torch.{name}") for name in ("_subclasses", "fx", "_dynamo")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


_names: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
"""The dimension that each symbol of a run stands for, by torch's environment of the run."""


def size_text(size: Any) -> str:
    """Return a size as a person reads it: `768`, `batch` or `2*time`."""
    if isinstance(size, Size):
        return size.text
    if not isinstance(size, torch.SymInt):
        return str(size)
    known = _names.get(size.node.shape_env, {})
    text = re.sub(r"\b[A-Za-z]\w*\b", lambda word: known.get(word[0], word[0]), str(size.node.expr))
    text = re.sub(r"\(\(([^()]*)\)\)", r"(\1)", text)
    text = re.sub(r"^\(([^()]*)\)$", r"\1", text)
    return text if len(text) <= MAX_FORMULA else str(size.node.hint)


def shape_text(shape: Sequence[Any] | Tensor) -> str:
    """Return a shape: `[batch, 3, 224, 224]`."""
    sizes = shape.shape if isinstance(shape, Tensor) else shape
    return f"[{', '.join(map(size_text, sizes))}]"
