"""What stands in the place of a parameter that a layer stores as other tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from compiler.catalogue.parametrization_table import PARAMETRIZATIONS
from compiler.rule_records import ParametrizeRule
from spec_schema.selectors import Step


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that a layer stores for a parameter. `path` leads to it from the layer."""

    path: tuple[Step, ...]
    tensor: Tensor
    kind: str


@dataclass(frozen=True, eq=False)
class Parametrization:
    """What stands in the place of one parameter, by which rule."""

    function: str
    arguments: Mapping[str, Any]
    name: str
    """The name of the parameter in its layer."""
    rule: ParametrizeRule
    stored: tuple[Stored, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for parametrisations that are alike."""
        return (self.function, self.name, *sorted(self.arguments.items()))

    def apply(self, module: nn.Module) -> nn.Module:
        """Let the layer store its parameter as torch's function has it."""
        return parametrize(self.function, module, self.name, self.arguments)


def parametrize(function: str, module: nn.Module, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call a function of the table."""
    assert function in PARAMETRIZATIONS
    made: nn.Module = getattr(parametrizations, function)(module, name=name, **arguments)
    return made
