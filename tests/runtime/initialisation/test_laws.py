"""Initialisers are those of `torch.nn.init`: bit by bit where they draw as torch does, else in their law.

A comparison of laws errs once in 5000 seeds (Kolmogorov and Smirnov's test at the level 1e-4, moments at 6 standard
deviations). The seeds are fixed, so that each run has the same outcome.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import compiler
from compiler.catalogue.initializer_table import (
    INITIALIZER_ARGUMENTS,
    RANDOM_INITIALIZERS,
    REQUIRED,
    initializer_names,
)
from runtime.initializers import INITIALIZERS, mixture, zero_row
from runtime.random import Draws

DRAWS = Draws(5, "weight")
REQUIRED_ARGUMENTS: dict[str, dict[str, float]] = {"constant": {"val": 2}, "sparse": {"sparsity": 0.5}}


def ks_distance(one: Tensor, other: Tensor) -> float:
    """The two-sample Kolmogorov-Smirnov statistic: the largest distance of the distribution functions."""
    one, other = one.flatten().double().sort().values, other.flatten().double().sort().values
    at = torch.cat([one, other])
    below = [torch.searchsorted(values, at, right=True) / len(values) for values in (one, other)]
    return float((below[0] - below[1]).abs().max())


def assert_same_law(ours: Tensor, theirs: Tensor) -> None:
    """Not told apart at the level of 1e-4 by Kolmogorov and Smirnov's test, nor by far by the moments."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    size = ours.numel()
    assert ks_distance(ours, theirs) <= math.sqrt(-math.log(1e-4 / 2) / 2) * math.sqrt(2 / size)
    spread = float(theirs.double().std())
    assert abs(float(ours.double().mean() - theirs.double().mean())) <= 6 * spread / math.sqrt(size)
    assert math.isclose(float(ours.double().std()), spread, rel_tol=6 / math.sqrt(size))


FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex64, torch.complex128)

LAWS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("uniform", (200, 300), {}),
    ("uniform", (60_000,), {"a": -3, "b": -1.5}),
    ("normal", (200, 300), {"mean": 1, "std": 0.02}),
    ("trunc_normal", (200, 300), {}),
    ("trunc_normal", (200, 300), {"std": 0.02}),
    ("trunc_normal", (200, 300), {"mean": 1, "std": 2, "a": -1, "b": 1.5}),
    ("trunc_normal", (200, 300), {"a": 0.2, "b": 0.7}),
    ("trunc_normal", (200, 300), {"a": 1.5, "b": 4}),
    ("trunc_normal", (200, 300), {"mean": 1, "std": 0.5, "a": -1, "b": 0.2}),
    ("sparse", (300, 200), {"sparsity": 0.25}),
    ("sparse", (300, 200), {"sparsity": 0.101, "std": 2}),
]


@pytest.mark.parametrize(("name", "shape", "arguments"), LAWS)
def test_law(name: str, shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    torch.manual_seed(11)
    theirs = getattr(nn.init, name + "_")(torch.empty(shape), **arguments)
    ours = INITIALIZERS[name](shape, torch.float32, DRAWS, **arguments)
    assert_same_law(ours, theirs)


BITS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("uniform", (32, 48), {"a": -3, "b": -1.5}),
    ("normal", (32, 48), {"mean": 1, "std": 0.02}),
    ("xavier_uniform", (32, 48), {}),
    ("xavier_uniform", (16, 3, 5, 2), {"gain": 2.5}),
    ("xavier_normal", (48, 32), {"gain": 0.5}),
    ("xavier_normal", (32, 3, 5), {}),
    ("kaiming_uniform", (32, 48), {"a": math.sqrt(5)}),
    ("kaiming_uniform", (32, 4, 5, 5), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal", (32, 48), {"nonlinearity": "tanh"}),
    ("kaiming_normal", (32, 4, 5, 5), {"mode": "fan_out", "nonlinearity": "selu"}),
    ("orthogonal", (32, 48), {}),
    ("orthogonal", (48, 8, 2), {"gain": 2}),
]


EACH_DTYPE = [
    (*case, dtype)
    for case in BITS
    for dtype in (*FLOATS, *COMPLEX)
    if case[0] != "orthogonal" or dtype in FLOATS
]
"""Torch has no complex orthogonal matrices: `test_orthogonal` looks at ours."""


@pytest.mark.parametrize(("name", "shape", "arguments", "dtype"), EACH_DTYPE)
def test_bits_are_torchs(
    name: str, shape: tuple[int, ...], arguments: dict[str, Any], dtype: torch.dtype
) -> None:
    """Half precision is single precision, rounded: torch draws bfloat16 from fewer bits, and factors no halves."""
    drawn = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    theirs = torch.empty(shape, dtype=drawn)
    getattr(nn.init, name + "_")(theirs, **arguments, generator=DRAWS._generator(0))
    ours = INITIALIZERS[name](shape, dtype, DRAWS, **arguments)
    assert ours.dtype == dtype
    assert torch.equal(ours, theirs.to(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["trunc_normal", "sparse"])
def test_half_precision_is_single_precision_rounded(name: str, dtype: torch.dtype) -> None:
    arguments = REQUIRED_ARGUMENTS.get(name, {})
    drawn = torch.float64 if dtype == torch.float64 else torch.float32
    exact = INITIALIZERS[name]((40, 30), drawn, DRAWS, **arguments)
    assert torch.equal(INITIALIZERS[name]((40, 30), dtype, DRAWS, **arguments), exact.to(dtype))


def test_every_random_law_is_tested() -> None:
    assert set(INITIALIZERS) == set(initializer_names())
    assert {name for name, _, _ in (*LAWS, *BITS)} == RANDOM_INITIALIZERS


def written(name: str) -> str:
    """An initialiser with its arguments, as the documentation writes it."""
    arguments = []
    for argument, default in INITIALIZER_ARGUMENTS[name].items():
        value = f"{default:g}" if isinstance(default, float) else repr(default)
        arguments.append(argument if default is REQUIRED else f"{argument}={value}")
    return f"`{name}({', '.join(arguments)})`" if arguments else f"`{name}`"


def test_the_documentation_lists_every_initialiser_with_its_arguments() -> None:
    text = (Path(compiler.__file__).parents[1] / "docs" / "language.md").read_text()
    listed = text.partition("### init")[2].partition("* a number")[0]
    for name in initializer_names():
        assert written(name) in listed


def test_positional_order_is_torchs() -> None:
    """The table's order is the order of arguments; each law takes them as keywords of these names."""
    for name, arguments in INITIALIZER_ARGUMENTS.items():
        shape = (4, 4, 3) if name == "dirac" else (4, 4)
        given = REQUIRED_ARGUMENTS.get(name, {})
        assert set(given) <= set(arguments)
        assert INITIALIZERS[name](shape, torch.float64, DRAWS, **given).dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("constant", (2, 3), {"val": 0.3}),
        ("constant", (), {"val": float("-inf")}),
        ("ones", (2, 3), {}),
        ("zeros", (4,), {}),
        ("eye", (3, 5), {}),
        ("eye", (5, 3), {}),
        ("dirac", (3, 5, 4), {}),
        ("dirac", (6, 2, 3, 3), {}),
        ("dirac", (6, 2, 3, 3), {"groups": 3}),
        ("dirac", (6, 4, 3, 2, 5), {"groups": 2}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_exact(name: str, shape: tuple[int, ...], arguments: dict[str, Any], dtype: torch.dtype) -> None:
    theirs = getattr(nn.init, name + "_")(torch.empty(shape, dtype=dtype), **arguments)
    assert torch.equal(INITIALIZERS[name](shape, dtype, DRAWS, **arguments), theirs)


def test_whole_numbers() -> None:
    assert torch.equal(INITIALIZERS["zeros"]((), torch.int64, DRAWS), torch.tensor(0))
    assert torch.equal(
        INITIALIZERS["constant"]((2,), torch.int8, DRAWS, val=3.0), torch.tensor([3, 3]).char()
    )
    assert bool(INITIALIZERS["constant"]((), torch.bool, DRAWS, val=1))
    for dtype, value in ((torch.int8, 128), (torch.int64, 0.5), (torch.bool, 2), (torch.int64, math.inf)):
        with pytest.raises(ValueError, match="cannot hold"):
            INITIALIZERS["constant"]((2,), dtype, DRAWS, val=value)
    with pytest.raises(ValueError, match="floating"):
        INITIALIZERS["orthogonal"]((2, 2), torch.int64, DRAWS)


@pytest.mark.parametrize("shape", [(40, 70), (70, 40), (50, 50), (30, 5, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_orthogonal(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    matrix = INITIALIZERS["orthogonal"](shape, dtype, DRAWS, gain=3).reshape(shape[0], -1) / 3
    product = matrix @ matrix.mH if shape[0] <= matrix.shape[1] else matrix.mH @ matrix
    assert torch.allclose(product, torch.eye(min(matrix.shape), dtype=dtype), atol=1e-5)


def test_orthogonal_favours_no_direction() -> None:
    """The Q of LAPACK alone has a corner that is never positive: the signs of R's diagonal are needed."""
    law = INITIALIZERS["orthogonal"]
    corners = torch.stack([law((3, 3), torch.float32, DRAWS.branch(index))[0, 0] for index in range(2000)])
    torch.manual_seed(13)
    theirs = torch.stack([nn.init.orthogonal_(torch.empty(3, 3))[0, 0] for _ in range(2000)])
    assert_same_law(corners, theirs)


def test_sparse_counts() -> None:
    values = INITIALIZERS["sparse"]((77, 50), torch.float32, DRAWS, sparsity=0.31)
    assert ((values == 0).sum(dim=0) == math.ceil(0.31 * 77)).all()
    chosen = (values == 0).sum(dim=1)
    assert int(chosen.min()) > 0
    assert int(chosen.max()) < 50


def test_values_do_not_depend_on_threads() -> None:
    before = torch.get_num_threads()
    try:
        for name in sorted(RANDOM_INITIALIZERS):
            arguments = REQUIRED_ARGUMENTS.get(name, {})
            drawn = []
            for threads in (1, 4):
                torch.set_num_threads(threads)
                with ThreadPoolExecutor(threads) as pool:
                    draws = Draws(5, "weight", pool=pool)
                    drawn.append(INITIALIZERS[name]((600, 500), torch.float32, draws, **arguments))
            assert torch.equal(*drawn), name
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("xavier_uniform", (3,), {}),
        ("kaiming_normal", (), {}),
        ("eye", (3,), {}),
        ("dirac", (5, 2, 3), {"groups": 2}),
        ("normal", (3,), {"sd": 1}),
        ("constant", (3,), {}),
        ("sparse", (3, 3), {"sparsity": 2}),
        ("kaiming_uniform", (3, 3), {"nonlinearity": "gelu"}),
    ],
)
def test_misuse_is_a_value_error(name: str, shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=name):
        INITIALIZERS[name](shape, torch.float32, DRAWS, **arguments)


@pytest.mark.parametrize("name", ["xavier_uniform", "kaiming_normal", "orthogonal", "uniform"])
def test_empty_tensors(name: str) -> None:
    assert INITIALIZERS[name]((0, 0), torch.float32, DRAWS).shape == (0, 0)


# --- Mixtures and transformations -----------------------------------------------------------------


def test_mixture() -> None:
    shape = (300, 200)

    def law(branch: int, name: str, **arguments: float) -> Callable[[], Tensor]:
        return lambda: INITIALIZERS[name](shape, torch.float32, DRAWS.branch(branch), **arguments)

    parts = [
        (0.25, law(0, "uniform", a=5, b=10)),
        (0.0, law(1, "ones")),
        (0.5, law(2, "zeros")),
        (0.25, law(3, "uniform", a=-10, b=-5)),
    ]
    values = mixture(shape, torch.float32, DRAWS, parts)
    size = values.numel()
    share = [
        ((values >= 5) & (values < 10)).sum(),
        (values == 0).sum(),
        ((values >= -10) & (values < -5)).sum(),
    ]
    assert sum(map(int, share)) == size
    for count, weight in zip(share, (0.25, 0.5, 0.25), strict=True):
        assert abs(int(count) / size - weight) < 0.01
    assert_same_law(values[values > 0][:10_000], torch.rand(10_000, generator=DRAWS.generator()) * 5 + 5)


def test_mixture_keeps_the_dtype_and_broadcasts() -> None:
    parts = [(0.5, lambda: torch.tensor(2.0)), (0.5, lambda: torch.arange(3.0))]
    values = mixture((400, 3), torch.bfloat16, DRAWS, parts)
    assert values.dtype == torch.bfloat16
    for column in range(3):
        assert set(values[:, column].tolist()) == {2.0, float(column)}


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.5, -0.5], [], [math.nan, 1.0]])
def test_weights_that_are_no_probabilities(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        mixture((2,), torch.float32, DRAWS, [(weight, lambda: torch.zeros(())) for weight in weights])


def test_zero_row() -> None:
    tensor = torch.ones(4, 3)
    for index in (1, -3):
        assert zero_row(tensor, index).tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3, [1.0] * 3]
    assert bool((tensor == 1).all())
    for wrong in (4, -5):
        with pytest.raises(ValueError, match=f"no row {wrong} "):
            zero_row(tensor, wrong)
