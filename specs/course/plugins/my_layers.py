"""Layers of the course that are written in Python."""

import torch
from torch import Tensor, nn

from compiler.plugins import layer


@layer
class MyLinear(nn.Module):
    """A fully connected layer that ends in ReLU."""

    def __init__(self, in_features: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, units))
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.weight + self.bias)
