"""Properties of a layer as a graph: what torch.compile and torch.export make of it."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import Tensor, nn

from runtime.testing.case import Case, call
from runtime.testing.comparison import difference
from runtime.testing.outcome import Failure


def export(case: Case) -> None:
    """The exported program gives the same."""
    layer, values = case.make(), case.values()
    with contextlib.redirect_stderr(io.StringIO()):  # torch prints the graph of what it cannot export
        program = torch.export.export(layer, (), dict(values)).module()
    _compare(case, call(program, values), "exported")


def compile(case: Case) -> None:
    """Compiled as one graph, without breaks, the layer gives the same."""
    torch.compiler.reset()
    model = _Model(case.make())
    model.compile(fullgraph=True, backend="aot_eager")
    _compare(case, call(model, case.values()), "compiled")


class _Model(nn.Module):
    """A model of one layer: torch compiles none of its own layers by itself."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, **values: Tensor) -> Any:
        return self.layer(**values)


def _compare(case: Case, output: Any, how: str) -> None:
    found = difference(call(case.make(), case.values()), output)
    if found is not None:
        raise Failure(f"eager and {how} it gives {found}")
