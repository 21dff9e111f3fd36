"""The closed table of what may stand in the place of a parameter: torch's own parametrisations."""

from __future__ import annotations

from collections.abc import Mapping

PATH = "torch.nn.utils.parametrizations"
PARAMETRIZATION_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "weight_norm": ("dim",),
    "spectral_norm": ("n_power_iterations", "eps", "dim"),
}
"""Name of a parametrisation -> its arguments, in torch's order, behind the module and the name of the parameter."""
