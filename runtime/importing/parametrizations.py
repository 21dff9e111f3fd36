"""Weights that layers store as something else, by torch's own parametrisations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList, type_before_parametrizations

from compiler.catalogue.layers import layer_names
from runtime.importing.leaves import inside_kept
from runtime.importing.positions import refuse_at

Arguments = dict[str, object]
MARK = "parametrizations."


def stored_for(name: str) -> str:
    """Return the parameter that a stored one makes: `conv.weight` of `conv.parametrizations.weight.original0`."""
    holder, mark, rest = name.partition(MARK)
    return f"{holder}{rest.partition('.')[0]}" if mark else name


def parametrized(root: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the rules of a model: the selector of a parameter, and the parametrisation that it has.

    Raises:
        SpecError: it is none of torch's, or not that of a layer of torch's.
    """
    kept = inside_kept(root)
    for path, module in root.named_modules():
        if isinstance(module, ParametrizationList) and not path.startswith(kept or ("/",)):
            name = stored_for(path + ".")
            layer = root.get_submodule(path.partition(MARK)[0].rstrip("."))
            yield f"/{name}", _rule(name, layer, list(module))


def _rule(name: str, layer: nn.Module, steps: list[nn.Module]) -> str:
    read = _READ.get(type(steps[0]).__name__)
    own = type(steps[0]).__module__ == parametrizations.__name__
    if read is None or not own or len(steps) != 1:
        made = " and ".join(type(each).__name__ for each in steps)
        said = f"`{name}` is parametrised by `{made}`: only one of torch's own can be said"
        raise refuse_at(None, "import-parametrization", said, help="register it with a plugin")
    if type_before_parametrizations(layer).__name__ not in layer_names():
        said = f"`{name}` is parametrised, and is no parameter of a layer of torch's"
        raise refuse_at(None, "import-parametrization", said)
    function, arguments = read(steps[0], layer)
    texts = [f"{key}={value!r}" for key, value in arguments.items()]
    return f"{function}({', '.join(texts)})" if texts else function


def _weight_norm(step: Any, layer: nn.Module) -> tuple[str, Arguments]:
    dim = None if step.dim == -1 else step.dim
    return "weight_norm", {} if dim == 0 else {"dim": dim}


def _spectral_norm(step: Any, layer: nn.Module) -> tuple[str, Arguments]:
    iterations = getattr(step, "n_power_iterations", 1)
    arguments: Arguments = {} if iterations == 1 else {"n_power_iterations": iterations}
    if step.eps != 1e-12:
        arguments["eps"] = step.eps
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    if step.dim != (1 if isinstance(layer, transposed) else 0):
        arguments["dim"] = step.dim
    return "spectral_norm", arguments


def _orthogonal(step: Any, layer: nn.Module) -> tuple[str, Arguments]:
    usual = "matrix_exp" if step.shape[-2] == step.shape[-1] else "householder"
    arguments: Arguments = (
        {} if step.orthogonal_map.name == usual else {"orthogonal_map": step.orthogonal_map.name}
    )
    if "base" not in step._buffers:
        arguments["use_trivialization"] = False
    return "orthogonal", arguments


_READ: dict[str, Callable[[Any, nn.Module], tuple[str, Arguments]]] = {
    "_WeightNorm": _weight_norm,
    "_SpectralNorm": _spectral_norm,
    "_Orthogonal": _orthogonal,
}
