"""The closed table of what may stand in the place of a parameter: torch's own parametrisations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from compiler.catalogue.layer_types import Argument

PATH = "torch.nn.utils.parametrizations"
Maps = Literal["matrix_exp", "cayley", "householder"]


@dataclass(frozen=True)
class ParametrizationType:
    """A parametrisation that a spec can name, with its arguments behind the module and the name of the parameter."""

    name: str
    arguments: tuple[Argument, ...]

    def argument(self, name: str) -> Argument:
        """Return the argument of that name."""
        return next(each for each in self.arguments if each.name == name)

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
