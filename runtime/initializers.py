"""The laws of `torch.nn.init`, drawn from `Draws` instead of one global generator.

Each takes the arguments that torch's function of the same name takes, and returns a new CPU tensor.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import init

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS, argument_problem, requirement
from compiler.rules.initialisation import value_problem
from runtime.random import Draws

Shape = tuple[int, ...]


class Initializer(Protocol):
    """Draws the initial values of one tensor.

    `initializer(shape, dtype, draws, **arguments)` returns a CPU tensor of that shape and dtype. Raises
    ValueError if an argument is wrong or missing, or if the law is not defined for such a shape or dtype.
    """

    def __call__(self, shape: Shape, dtype: torch.dtype, draws: Draws, **arguments: object) -> Tensor: ...


def mixture(
    shape: Shape, dtype: torch.dtype, draws: Draws, parts: Sequence[tuple[float, Callable[[], Tensor]]]
) -> Tensor:
    """Each element comes from part i with the probability of that part's weight.

    `parts` holds weights and functions that give a tensor which broadcasts to `shape`, each from draws of its
    own: `draws` choose between them. Raises ValueError if a weight is negative, or if they do not sum to 1
    within 1e-6.
    """
    weights = [weight for weight, _ in parts]
    if not all(weight >= 0 for weight in weights) or not abs(math.fsum(weights) - 1) <= 1e-6:
        raise ValueError(f"the weights of a mixture are not negative and sum to 1, not {weights}")
    used = [part for part in parts if part[0] > 0]
    bounds = torch.tensor([weight for weight, _ in used], dtype=torch.float64, device="cpu").cumsum(0)[:-1]
    choice = torch.bucketize(draws.uniform(shape, dtype=torch.float64), bounds, right=True)
    result = torch.empty(shape, dtype=dtype, device="cpu")
    for position, (_, values) in enumerate(used):
        result = torch.where(choice == position, values().to(dtype), result)
    return result


def zero_row(tensor: Tensor, index: int) -> Tensor:
    """Return a copy of `tensor` (shape [rows, ...]) whose row `index` is zero.

    What Embedding._fill_padding_idx_with_zero does. A negative index counts from the end.
    Raises ValueError if there is no such row.
    """
    rows = tensor.shape[0] if tensor.ndim else 0
    if not -rows <= index < rows:
        raise ValueError(f"there is no row {index} in a tensor of {rows} rows")
    result = tensor.clone()
    result[index] = 0
    return result


# --- Laws: (shape, dtype, draws, *, torch's arguments) -> CPU tensor of that shape, with at least one element


def _uniform(shape: Shape, dtype: torch.dtype, draws: Draws, *, a: float, b: float) -> Tensor:
    return draws.uniform(shape, a, b, dtype)


def _normal(shape: Shape, dtype: torch.dtype, draws: Draws, *, mean: float, std: float) -> Tensor:
    return draws.normal(shape, mean, std, dtype)


def _trunc_normal(
    shape: Shape, dtype: torch.dtype, draws: Draws, *, mean: float, std: float, a: float, b: float
) -> Tensor:
    return draws.trunc_normal(shape, mean, std, a, b, dtype)


def _constant(shape: Shape, dtype: torch.dtype, _: Draws, *, val: float) -> Tensor:
    problem = value_problem(val, dtype)
    if problem:
        raise ValueError(problem)
    return torch.full(shape, val, dtype=dtype, device="cpu")


def _ones(shape: Shape, dtype: torch.dtype, _: Draws) -> Tensor:
    return torch.ones(shape, dtype=dtype, device="cpu")


def _zeros(shape: Shape, dtype: torch.dtype, _: Draws) -> Tensor:
    return torch.zeros(shape, dtype=dtype, device="cpu")


def _eye(shape: Shape, dtype: torch.dtype, _: Draws) -> Tensor:
    return torch.eye(shape[0], shape[1], dtype=dtype, device="cpu")


def _dirac(shape: Shape, dtype: torch.dtype, _: Draws, *, groups: int) -> Tensor:
    """One at [g · out + d, d, middles], for d < min(out, shape[1]) and out = shape[0] / groups."""
    result = torch.zeros(shape, dtype=dtype, device="cpu")
    centre = result
    for size in reversed(shape[2:]):
        centre = centre[..., size // 2]  # in the end a view of [shape[0], shape[1]]
    out = shape[0] // groups
    for group in range(groups):
        centre[group * out : (group + 1) * out].fill_diagonal_(1)
    return result


def _xavier_std(shape: Shape, gain: float) -> float:
    """gain · sqrt(2 / (fan_in + fan_out)): Glorot and Bengio (2010), as in `torch.nn.init.xavier_normal_`."""
    fan_in, fan_out = init._calculate_fan_in_and_fan_out(torch.empty(shape, device="meta"))
    return gain * math.sqrt(2.0 / (fan_in + fan_out))


def _xavier_uniform(shape: Shape, dtype: torch.dtype, draws: Draws, *, gain: float) -> Tensor:
    bound = math.sqrt(3.0) * _xavier_std(shape, abs(gain))
    return draws.uniform(shape, -bound, bound, dtype)


def _xavier_normal(shape: Shape, dtype: torch.dtype, draws: Draws, *, gain: float) -> Tensor:
    return draws.normal(shape, 0.0, _xavier_std(shape, abs(gain)), dtype)


def _kaiming_std(shape: Shape, a: float, mode: init._FanMode, nonlinearity: init._NonlinearityType) -> float:
    """gain / sqrt(fan): He et al. (2015), as in `torch.nn.init.kaiming_normal_`."""
    fan = init._calculate_correct_fan(torch.empty(shape, device="meta"), mode)
    return init.calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _kaiming_uniform(
    shape: Shape,
    dtype: torch.dtype,
    draws: Draws,
    *,
    a: float,
    mode: init._FanMode,
    nonlinearity: init._NonlinearityType,
) -> Tensor:
    bound = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity)
    return draws.uniform(shape, -bound, bound, dtype)


def _kaiming_normal(
    shape: Shape,
    dtype: torch.dtype,
    draws: Draws,
    *,
    a: float,
    mode: init._FanMode,
    nonlinearity: init._NonlinearityType,
) -> Tensor:
    return draws.normal(shape, 0.0, _kaiming_std(shape, a, mode, nonlinearity), dtype)


def _orthogonal(shape: Shape, dtype: torch.dtype, draws: Draws, *, gain: float) -> Tensor:
    """Return the Q of a normal matrix of shape [shape[0], rest], with the signs that make R's diagonal positive.

    Saxe et al. (2013) by way of Mezzadri (2007), https://arxiv.org/abs/math-ph/0609050, as in
    `torch.nn.init.orthogonal_`. Drawn and factored in float32 or float64, then cast.
    """
    rows = shape[0]
    work = _factored_dtype(dtype)
    matrix = draws.normal((rows, math.prod(shape) // rows), dtype=work)
    wide = matrix.shape[0] < matrix.shape[1]
    with one_thread():
        q, r = torch.linalg.qr(matrix.T if wide else matrix)
    q = q.mul_(torch.sgn(torch.diagonal(r)))
    scaled: Tensor = (q.T if wide else q) * gain
    return scaled.reshape(shape).to(dtype)


def _factored_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which LAPACK factors a matrix whose values become `dtype`."""
    if dtype.is_complex:
        return torch.complex128 if dtype == torch.complex128 else torch.complex64
    if not dtype.is_floating_point:
        raise ValueError(f"random values need a floating-point tensor, and this one is {dtype}")
    return torch.float64 if dtype == torch.float64 else torch.float32


_THREADS_LOCK: Final = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for sums, whose last bits depend on how many there are."""
    with _THREADS_LOCK:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _sparse(shape: Shape, dtype: torch.dtype, draws: Draws, *, sparsity: float, std: float) -> Tensor:
    """Draw normal values, with ceil(sparsity · rows) random elements of each column zero.

    Martens (2010), as in `torch.nn.init.sparse_`. `shape` is [rows, columns].
    """
    values = draws.normal(shape, 0.0, std, dtype)
    zeros = math.ceil(sparsity * shape[0])
    order = draws.branch(0).uniform(shape, dtype=torch.float64).argsort(dim=0, stable=True)
    return values.scatter_(0, order[:zeros], 0)


# --- The table ------------------------------------------------------------------------------------


def _named(name: str, law: Callable[..., Tensor]) -> Initializer:
    """`law` with torch's defaults, its arguments, shape and dtype checked first."""
    defaults = INITIALIZER_ARGUMENTS[name]

    def initializer(shape: Shape, dtype: torch.dtype, draws: Draws, **arguments: object) -> Tensor:
        problem = argument_problem(name, arguments) or requirement(name, shape, arguments)
        if problem is not None:
            raise ValueError(problem)
        if 0 in shape:  # a fan may be zero, and there is nothing to draw
            return torch.empty(shape, dtype=dtype, device="cpu")
        return law(tuple(shape), dtype, draws, **{**defaults, **arguments})

    initializer.__name__ = initializer.__qualname__ = name
    return initializer


_LAWS: Final[dict[str, Callable[..., Tensor]]] = {
    "uniform": _uniform,
    "normal": _normal,
    "trunc_normal": _trunc_normal,
    "constant": _constant,
    "ones": _ones,
    "zeros": _zeros,
    "eye": _eye,
    "dirac": _dirac,
    "xavier_uniform": _xavier_uniform,
    "xavier_normal": _xavier_normal,
    "kaiming_uniform": _kaiming_uniform,
    "kaiming_normal": _kaiming_normal,
    "orthogonal": _orthogonal,
    "sparse": _sparse,
}

INITIALIZERS: Final[Mapping[str, Initializer]] = MappingProxyType(
    {name: _named(name, law) for name, law in _LAWS.items()}
)
"""Every initialiser, by its name in a spec."""

TRANSFORMATIONS: Final[Mapping[str, Callable[..., Tensor]]] = MappingProxyType({"zero_row": zero_row})
"""Functions from drawn values to values, by their names in the default rules."""
