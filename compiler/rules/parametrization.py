"""What stands in the place of a parameter that a layer stores as other tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import register_parametrization

from compiler.catalogue.parametrization_table import PARAMETRIZATIONS, ParametrizationType
from compiler.infer.reasons import reason
from compiler.infer.values import freeze
from compiler.rule_records import ParametrizeRule
from spec_schema.diagnostics import Diagnostic
from spec_schema.selectors import Step


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that a layer stores for a parameter. `path` leads to it from the layer."""

    path: tuple[Step, ...]
    tensor: Tensor
    kind: str
    is_own: bool = False
    """Whether it is state of the parametrisation, and nothing that the parameter was taken apart into."""


@dataclass(frozen=True, eq=False)
class Parametrization:
    """What stands in the place of one parameter, by which rule."""

    type: ParametrizationType
    arguments: Mapping[str, Any]
    name: str
    """The name of the parameter in its layer."""
    rule: ParametrizeRule
    stored: tuple[Stored, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for parametrisations that are alike."""
        return (self.type.name, self.name, freeze(sorted(self.arguments.items())))

    def apply(self, module: nn.Module) -> nn.Module:
        """Let the layer store its parameter as the parametrisation has it."""
        return parametrize(self.type, module, self.name, self.arguments)


def parametrize(
    found: ParametrizationType, module: nn.Module, name: str, arguments: Mapping[str, Any]
) -> nn.Module:
    """Call a function of the table, or register an instance of the class of a plugin."""
    if found.cls is None:
        assert found.name in PARAMETRIZATIONS
        made: nn.Module = getattr(parametrizations, found.name)(module, name=name, **arguments)
        return made
    weight = (module.get_parameter(name),) if found.takes_weight else ()
    return register_parametrization(module, name, found.cls(*weight, **arguments))


def refused(rule: ParametrizeRule, name: str, error: Exception) -> Diagnostic:
    """Return the diagnostic of a parametrisation that torch, or its own class, does not let stand for a parameter."""
    message = f"`{rule.type.name}` cannot stand for `{name}`: {reason(error)}"
    return Diagnostic("bad-parametrization", message, rule.value.place)
