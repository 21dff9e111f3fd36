"""First values of parametrised parameters: torch's own functions make them from the value that the rules give."""

from __future__ import annotations

import copy
import math

from torch import Tensor, nn

from compiler.infer.calls import TORCH_ERRORS
from compiler.rules.parametrization import refused
from compiler.rules.plan import Parametrized, PlanRow
from runtime.constructor_values import seeded
from runtime.random import Draws
from spec_schema.diagnostics import SpecError

ELEMENTS_AT_ONCE = 20


def is_made(row: PlanRow) -> bool:
    """Return whether a tensor is made from the value of the parameter that it stands for.

    One that a checkpoint gives is read under its own name.
    """
    return row.stands_for is not None and row.initialisation is None


def steps(found: Parametrized) -> int:
    """Return how many steps torch's function takes, as `check_work` counts them, that are more than a few an element.

    `orthogonal` factorises square matrices, whose blocks a processor goes through many elements at a time.
    """
    if found.by.type.name != "orthogonal":
        return 0
    *batch, rows, columns = found.plain.shape
    return math.prod(batch) * max(rows, columns) ** 3 // ELEMENTS_AT_ONCE


def stored_tensors(found: Parametrized, value: Tensor, seed: int) -> dict[str, Tensor]:
    """Return what a layer stores for a value of its parameter, by the path from the layer.

    Raises:
        SpecError: the class of a plugin refuses the value.
    """
    module = copy.deepcopy(found.plain.source.module)
    assert module is not None
    module._parameters[found.by.name] = nn.Parameter(value)
    try:
        with seeded(Draws(seed, found.plain.name)):
            found.by.apply(module)
    except TORCH_ERRORS as error:
        raise SpecError([refused(found.by.rule, found.plain.name, error)]) from error
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach() for name, tensor in tensors.items() if not tensor.is_meta}
