"""What may stand in the place of a parameter: torch's own parametrisations, a closed table, and those of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from compiler.catalogue.layer_types import REQUIRED, Argument

if TYPE_CHECKING:
    from torch import nn

PATH = "torch.nn.utils.parametrizations"
REGISTER = "torch.nn.utils.parametrize.register_parametrization"
Maps = Literal["matrix_exp", "cayley", "householder"]


@dataclass(frozen=True)
class ParametrizationType:
    """A parametrisation that a spec can name, with the arguments that a spec gives."""

    name: str
    arguments: tuple[Argument, ...]
    cls: type[nn.Module] | None = None
    """The class that a plugin registers; None for a function of torch."""
    takes_weight: bool = False
    """Whether the first argument of the class is the parameter itself."""

    def argument(self, name: str) -> Argument:
        """Return the argument of that name."""
        return next(each for each in self.arguments if each.name == name)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of those without a default."""
        return tuple(each.name for each in self.arguments if each.default is REQUIRED)

    @property
    def positional(self) -> tuple[Argument, ...]:
        """Those that may be given without their names."""
        return tuple(each for each in self.arguments if not each.keyword_only)


PARAMETRIZATIONS: Mapping[str, ParametrizationType] = {
    each.name: each
    for each in (
        ParametrizationType("weight_norm", (Argument("dim", int | None, 0),)),
        ParametrizationType(
            "spectral_norm",
            (
                Argument("n_power_iterations", int, 1),
                Argument("eps", float, 1e-12),
                Argument("dim", int | None, None),
            ),
        ),
        ParametrizationType(
            "orthogonal",
            (
                Argument("orthogonal_map", Maps | None, None),
                Argument("use_trivialization", bool, True, keyword_only=True),
            ),
        ),
    )
}
"""Name of a parametrisation -> what it takes, in torch's order."""


def describe_parametrization(cls: type[nn.Module], name: str, source: str) -> ParametrizationType:
    """Return the arguments of a class that a plugin registers."""
    from torch import Tensor

    from compiler.catalogue.layers import describe_layer

    arguments = describe_layer(cls, name, source).arguments
    takes_weight = bool(arguments) and arguments[0].annotation is Tensor
    given = (replace(each, deferred=None) for each in (arguments[1:] if takes_weight else arguments))
    return ParametrizationType(name, tuple(given), cls, takes_weight)
