"""A model as a graph: captured by `torch.export`, with what it would write out or fix left whole."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

from runtime.exporting.dimensions import OpenDimensions, Trial
from runtime.exporting.problems import not_captured
from runtime.exporting.recurrent import ARGUMENTS, NAMES, operator

Replaced = Mapping[Callable[..., Any], Callable[..., Any]]


class Replacing(TorchFunctionMode):
    """Calls other functions than those of torch, which compute the same: recurrent ones, and those that are given.

    Under any such mode, layers of torch do not take their fused paths, which exporters do not know.
    """

    def __init__(self, others: Replaced) -> None:
        super().__init__()
        self.others = others

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in NAMES and len(args) == ARGUMENTS and not _is_projected(args[1]):
            func = operator(name)
        return self.others.get(func, func)(*args, **(kwargs or {}))


def _is_projected(states: Any) -> bool:
    """Return whether the output of an LSTM is narrower than its cells, which no format knows."""
    return isinstance(states, Sequence) and states[0].shape[-1] != states[1].shape[-1]


def captured(
    model: nn.Module, dimensions: OpenDimensions, trial: Trial, others: Replaced | None = None
) -> ExportedProgram:
    """Return the graph of a model, with its open dimensions. `others` are functions to call instead of torch's.

    Raises:
        SpecError: torch cannot capture it; it says at which block.
    """
    with quietly(), torch.no_grad(), Replacing(others or {}):
        try:
            return torch.export.export(
                model, trial.inputs, dynamic_shapes=dimensions.dynamic_shapes(), strict=False
            )
        except Exception as error:  # torch raises whatever it does
            raise not_captured(dimensions, error) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what torch says to its own developers from the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):  # it prints graphs that it gives up
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
