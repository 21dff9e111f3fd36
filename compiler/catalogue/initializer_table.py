"""The named initialisers: their arguments, and what they need of a tensor. Knows nothing of torch.

Names, arguments and their order are those of `torch.nn.init`, without the underscore, the tensor and the
generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final


class Required(Enum):
    """Stands for the default of an argument that has none."""

    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED

Default = float | str | Required

_NORMAL: dict[str, Default] = {"mean": 0.0, "std": 1.0}
_KAIMING: dict[str, Default] = {"a": 0, "mode": "fan_in", "nonlinearity": "leaky_relu"}

INITIALIZER_ARGUMENTS: Final[dict[str, dict[str, Default]]] = {
    "uniform": {"a": 0.0, "b": 1.0},
    "normal": {**_NORMAL},
    "trunc_normal": {**_NORMAL, "a": -2.0, "b": 2.0},
    "constant": {"val": REQUIRED},
    "ones": {},
    "zeros": {},
    "eye": {},
    "dirac": {"groups": 1},
    "xavier_uniform": {"gain": 1.0},
    "xavier_normal": {"gain": 1.0},
    "kaiming_uniform": {**_KAIMING},
    "kaiming_normal": {**_KAIMING},
    "orthogonal": {"gain": 1},
    "sparse": {"sparsity": REQUIRED, "std": 0.01},
}
"""For each initialiser its arguments, in torch's order, with their defaults."""

TRANSFORMATION_ARGUMENTS: Final[dict[str, dict[str, Default]]] = {
    "zero_row": {"tensor": REQUIRED, "index": REQUIRED},
}
"""Functions from drawn values to values. Only PyTorch's own default rules need them."""

INITIALIZER_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "mode": ("fan_in", "fan_out"),
    "nonlinearity": (
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "selu",
    ),
}
"""The values that an argument of text may have, by the argument's name."""

RANDOM_INITIALIZERS: Final = frozenset(INITIALIZER_ARGUMENTS) - {"constant", "ones", "zeros", "eye", "dirac"}
"""Those that draw random numbers, and hence need a floating-point tensor."""

_DIMENSIONS: Final[dict[str, tuple[range, str]]] = {
    **dict.fromkeys(
        ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
        (range(2, 1 << 10), "at least 2 dimensions, for a fan in and a fan out"),
    ),
    "orthogonal": (range(2, 1 << 10), "at least 2 dimensions"),
    "eye": (range(2, 3), "exactly 2 dimensions"),
    "sparse": (range(2, 3), "exactly 2 dimensions"),
    "dirac": (range(3, 6), "3, 4 or 5 dimensions"),
}


def initializer_names() -> tuple[str, ...]:
    """Return the names of all initialisers, in the table's order."""
    return tuple(INITIALIZER_ARGUMENTS)


def requirement(name: str, shape: Sequence[int], arguments: Mapping[str, object] | None = None) -> str | None:
    """Return why initialiser `name` cannot be used for a tensor of `shape`.

    None if it can, or if there is no such name. Only `dirac` looks at `arguments`: `groups` must divide the
    first dimension.
    """
    allowed, words = _DIMENSIONS.get(name, (None, ""))
    if allowed is not None and len(shape) not in allowed:
        return f"{name} needs a tensor of {words}, and this one has {len(shape)}"
    groups = (arguments or {}).get("groups", 1)
    if name == "dirac" and isinstance(groups, int) and groups > 0 and shape[0] % groups:
        return f"dirac needs a first dimension that groups={groups} divides, and this one is {shape[0]}"
    return None


def argument_problem(name: str, arguments: Mapping[str, object]) -> str | None:
    """Return what is wrong with keyword `arguments` for initialiser `name`, in words; None if nothing is.

    Raises KeyError if there is no initialiser of that name.
    """
    known = INITIALIZER_ARGUMENTS[name]
    for argument, value in arguments.items():
        if argument not in known:
            has = ", ".join(known) if known else "none"
            return f"{name} has no argument {argument!r}; its arguments are: {has}"
        problem = _value_problem(argument, value)
        if problem is not None:
            return f"{name}: {problem}"
    for argument, default in known.items():
        if default is REQUIRED and argument not in arguments:
            return f"{name} needs a value for {argument!r}"
    return _order_problem(name, {**known, **arguments})


def identity(name: str, arguments: Mapping[str, object]) -> str:
    """Text that is equal for two uses of initialiser `name` exactly if they mean the same.

    `identity("normal", {"std": 1})` is `normal(mean=0.0, std=1.0)`. Raises KeyError if there is no such name.
    """
    filled = {**INITIALIZER_ARGUMENTS[name], **arguments}
    texts = (f"{argument}={_canonical(argument, value)!r}" for argument, value in filled.items())
    return f"{name}({', '.join(texts)})"


def _canonical(argument: str, value: object) -> object:
    number = isinstance(value, int | float) and argument != "groups"
    return float(value) if number and isinstance(value, int | float) else value


def _value_problem(argument: str, value: object) -> str | None:
    if argument in INITIALIZER_CHOICES:
        choices = INITIALIZER_CHOICES[argument]
        return None if value in choices else f"{argument} is one of {', '.join(choices)}, not {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{argument} is a number, not {value!r}"
    if argument == "groups" and not (isinstance(value, int) and value > 0):
        return f"groups is a positive integer, not {value!r}"
    if argument == "sparsity" and not 0 <= value <= 1:
        return f"sparsity is a fraction between 0 and 1, not {value!r}"
    if argument == "std" and not value >= 0:
        return f"std cannot be negative, and this is {value!r}"
    if argument != "val" and not math.isfinite(value):
        return f"{argument} is a finite number, not {value!r}"
    return None


def _order_problem(name: str, filled: Mapping[str, object]) -> str | None:
    low, high, std = filled.get("a"), filled.get("b"), filled.get("std")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return f"{name}: the lower bound a={low!r} is above the upper bound b={high!r}"
    if name == "trunc_normal" and std == 0:
        return "trunc_normal: std is positive, not 0"
    return None
