"""Recurrent layers as one operation each: torch writes out every step of them, and so fixes their time.

While a model is captured, `torch.gru` and its like are operators of ours, whose outputs have the shapes that they have
at any length. What is captured is given back as torch's own (`as_of_torch`), or translated (`recurrent_onnx.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

NAMES = ("rnn_tanh", "rnn_relu", "gru", "lstm")
ARGUMENTS = 9
"""Those of the functions over plain sequences. They have fewer over packed ones."""
LIBRARY: Any = torch.library.Library("blockprint", "FRAGMENT")  # type: ignore[no-untyped-call]


def of_torch(name: str) -> Any:
    """Return torch's operator over plain sequences."""
    return getattr(torch.ops.aten, name).input


def operator(name: str) -> Any:
    """Return ours."""
    return getattr(torch.ops.blockprint, name).default


def _shapes(
    input: Tensor,
    states: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """Return outputs without values: one as long as the input, and the last states."""
    last = (states,) if isinstance(states, Tensor) else states
    width = last[0].shape[-1] * (2 if bidirectional else 1)
    return input.new_empty([*input.shape[:-1], width]), *map(torch.empty_like, last)


def _define(name: str) -> None:
    schema = str(of_torch(name)._schema)
    LIBRARY.define(schema.replace(f"aten::{name}.input", name))
    LIBRARY.impl(name, partial(_run, name), "CompositeExplicitAutograd")
    torch.library.register_fake(f"blockprint::{name}", _shapes, lib=LIBRARY)


def _run(name: str, *arguments: Any) -> Any:
    return of_torch(name)(*arguments)


for _name in NAMES:
    _define(_name)


def as_of_torch(program: ExportedProgram) -> None:
    """Let a captured program call torch's own operators, so that it runs where this project is not installed."""
    known = {operator(name): of_torch(name) for name in NAMES}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target in known:
            node.target = known[node.target]
    program.graph_module.recompile()
