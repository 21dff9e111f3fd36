"""Recurrent layers over long sequences: one step has the shapes of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

RECURRENT = frozenset({torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu})
"""What the recurrent layers of torch call. It goes through the sequence step by step, also without values."""


def in_one_step(function: Any, arguments: Sequence[Any]) -> Any:
    """Call a recurrent function without values: over the first step, with an output for every step."""
    whole, *rest = arguments
    batch_first = rest[-1]
    if not isinstance(whole, Tensor) or whole.ndim != 3 or not isinstance(batch_first, bool):
        return function(*arguments)  # packed sequences
    dim = 1 if batch_first else 0
    steps = whole.shape[dim]
    if steps <= 1:
        return function(*arguments)
    output, *states = function(whole.narrow(dim, 0, 1), *rest)
    return (_of_all_steps(output, steps, batch_first), *states)


def _of_all_steps(output: Tensor, steps: Any, batch_first: bool) -> Tensor:
    """Return the output of all steps, laid out as torch has it: one step after the other."""
    batch, size = (output.shape[0] if batch_first else output.shape[1]), output.shape[2]
    made = output.new_empty((steps, batch, size))
    return made.transpose(0, 1) if batch_first else made
