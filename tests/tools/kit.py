"""A use of a tool of PyTorch, or of a package around it, on a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.tools.models import Subject


@dataclass(frozen=True)
class Tool:
    """A tool, and a use of it that raises where it does not work."""

    title: str
    use: Callable[[Subject], None]
    needs: tuple[str, ...]
    """Packages beside torch."""


TOOLS: dict[str, Tool] = {}


def tool(title: str, *needs: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    def register(use: Callable[[Subject], None]) -> Callable[[Subject], None]:
        TOOLS[use.__name__] = Tool(title, use, needs)
        return use

    return register


def same(found: Any, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(torch.as_tensor(found), expected, rtol=tolerance, atol=tolerance)


def trains(model: nn.Module, subject: Subject) -> None:
    """Make one step, in which all parameters that are to be trained get a gradient."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    model.train()
    model(subject.x).square().sum().backward()
    assert parameters
    assert all(each.grad is not None for each in parameters)
    torch.optim.SGD(parameters, lr=0.01).step()
    model.eval()
