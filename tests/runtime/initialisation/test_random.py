"""Drawn values are a function of (seed, name, stream, position) alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from runtime.random import CHUNK, Draws

LARGE = (CHUNK * 11 + 77,)

Draw = Callable[[Draws, tuple[int, ...]], Tensor]

LAWS: dict[str, Draw] = {
    "uniform": lambda draws, shape: draws.uniform(shape, -2, 3),
    "normal": lambda draws, shape: draws.normal(shape, 1, 2),
    "normal in double": lambda draws, shape: draws.normal(shape, dtype=torch.float64),
    "normal in bfloat16": lambda draws, shape: draws.normal(shape, dtype=torch.bfloat16),
    "normal in complex": lambda draws, shape: draws.normal(shape, dtype=torch.complex64),
    "wide trunc_normal": lambda draws, shape: draws.trunc_normal(shape),
    "narrow trunc_normal": lambda draws, shape: draws.trunc_normal(shape, 0, 1, 0.5, 1),
}

each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@each_law
def test_values_do_not_depend_on_threads(law: Draw, threads: Callable[[int], None]) -> None:
    alone = law(Draws(7, "h.0.weight"), LARGE)
    for count in (1, 3, 8):
        threads(count)
        with ThreadPoolExecutor(count) as pool:
            assert torch.equal(law(Draws(7, "h.0.weight", pool=pool), LARGE), alone)


@each_law
@pytest.mark.parametrize("size", [1, 2, 15, 17, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3])
def test_values_do_not_depend_on_the_size(law: Draw, size: int) -> None:
    draws = Draws(7, "h.0.weight")
    assert torch.equal(law(draws, (size,)), law(draws, LARGE)[:size])


@each_law
def test_values_do_not_depend_on_the_shape(law: Draw) -> None:
    draws = Draws(7, "h.0.weight")
    assert torch.equal(law(draws, (3, 5, 7)).flatten(), law(draws, (105,)))
    assert torch.equal(law(draws, ()).flatten(), law(draws, (1,)))
    assert law(draws, (0, 4)).shape == (0, 4)


PARTS = [
    (0, 10),
    (3, 4),
    (CHUNK - 1, CHUNK + 1),
    (CHUNK // 2, CHUNK // 2 + 5),
    (2 * CHUNK, 7 * CHUNK),
    (9, LARGE[0]),
]


@each_law
@pytest.mark.parametrize(("begin", "end"), PARTS)
def test_a_part_is_drawn_alone(law: Draw, begin: int, end: int) -> None:
    draws = Draws(7, "h.0.weight")
    whole = law(draws, LARGE)
    assert torch.equal(law(draws.at(begin), (end - begin,)), whole[begin:end])
    with ThreadPoolExecutor(3) as pool:
        part = Draws(7, "h.0.weight", pool=pool).at(begin)
        assert torch.equal(law(part, (end - begin,)), whole[begin:end])


def test_a_part_draws_only_the_chunks_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of a tensor that is too large for this machine costs what the shard does."""
    begin = 10**15 * CHUNK + 7
    numbers: list[int] = []
    generator = Draws._generator
    monkeypatch.setattr(Draws, "_generator", lambda draws, n: numbers.append(n) or generator(draws, n))
    part = Draws(7, "huge").at(begin).normal((CHUNK,))
    assert numbers == [10**15, 10**15 + 1]
    assert torch.equal(part[-7:], Draws(7, "huge").at(begin + CHUNK - 7).normal((7,)))
    with pytest.raises(ValueError, match="0 or more"):
        Draws(7, "huge").at(-1)


@each_law
def test_values_do_not_touch_or_heed_the_global_generator(law: Draw) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = law(Draws(7, "w"), (100,))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(law(Draws(7, "w"), (100,)), first)


def test_values_stay_on_the_cpu_in_any_context() -> None:
    expected = Draws(7, "w").normal(LARGE)
    with ThreadPoolExecutor(2) as pool, torch.device("meta"):
        assert torch.equal(Draws(7, "w", pool=pool).normal(LARGE), expected)
    with ThreadPoolExecutor(2) as pool, torch.inference_mode():
        assert torch.equal(Draws(7, "w", pool=pool).normal(LARGE), expected)


def test_whatever_differs_gives_independent_values() -> None:
    base = Draws(0, "a")
    others = [
        Draws(1, "a"),
        Draws(-1, "a"),
        Draws(2**32, "a"),  # manual_seed would take this for 0
        Draws(2**64, "a"),
        Draws(0, "b"),
        Draws(0, "a "),
        Draws(0, "0:a"),
        base.branch(0),
        base.branch(1),
        base.branch(0).branch(0),
        base.branch(1).branch(0),
    ]
    values = [draws.normal((2000,)) for draws in (base, *others)]
    values.append(base.normal((CHUNK + 2000,))[CHUNK:])
    for one, other in itertools.combinations(values, 2):
        assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.1


def test_the_scheme_is_fixed() -> None:
    """A change of these values changes every model that is built from a seed: raise FORMAT, tell users."""
    values = Draws(0, "h.0.attn.qkv.weight").uniform((CHUNK + 2,))[[0, 1, -2, -1]]
    assert (values * 2**24).long().tolist() == [1155665, 10157327, 1508892, 6614790]


def test_a_generator_is_in_a_state_that_torch_accepts() -> None:
    """The layout is the one that is assumed: the hash lies where the twister has its words."""
    generator = Draws(0, "w").generator()
    own = generator.get_state()
    seeded = torch.Generator().manual_seed(0).get_state()
    words = slice(24, 24 + 624 * 8)
    assert torch.equal(own[:24], seeded[:24])
    assert torch.equal(own[words.stop :], seeded[words.stop :])
    assert int((own[words].view(torch.int64) == seeded[words].view(torch.int64)).sum()) < 3
    bits = torch.empty(1 << 16, dtype=torch.int64).random_(0, 2, generator=generator).double().mean()
    assert abs(float(bits) - 0.5) < 0.01


def test_the_generator_gives_the_same_again() -> None:
    one, two = (torch.randperm(50, generator=Draws(0, "w").generator()) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, torch.randperm(50, generator=Draws(0, "v").generator()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    values = Draws(0, "w").uniform((10_000,), 2, 3, dtype)
    assert values.dtype == dtype
    assert 2 <= float(values.min()) <= float(values.max()) <= 3
    assert math.isclose(float(values.double().mean()), 2.5, abs_tol=0.02)


def test_half_precision_is_rounded_single() -> None:
    draws = Draws(0, "w")
    assert torch.equal(draws.normal((999,), dtype=torch.float16), draws.normal((999,)).half())


def test_complex_values_have_torchs_law() -> None:
    values = Draws(0, "w").normal((100_000,), 2, 3, torch.complex64)
    torch.manual_seed(0)
    theirs = torch.empty(100_000, dtype=torch.complex64).normal_(2, 3)
    for part in (torch.real, torch.imag):
        assert abs(float(part(values).std() - part(theirs).std())) < 0.03
        assert abs(float(part(values).mean() - part(theirs).mean())) < 0.03


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0, 1, 50, 1e9),
        (0, 1, 50, math.inf),
        (0, 1, -math.inf, -8),
        (0, 1, 1e8, 1e8 + 1),
        (0, 1e-300, 1, 2),
        (5, 1, 5, 5),
        (1, 1e-12, 1, 2),
        (0, 1, -math.inf, math.inf),
    ],
)
def test_far_tails_end_and_stay_within_bounds(mean: float, std: float, a: float, b: float) -> None:
    values = Draws(0, "w").trunc_normal((1000,), mean, std, a, b).double()
    assert bool((values >= torch.tensor(a, dtype=torch.float32)).all())
    assert bool((values <= torch.tensor(b, dtype=torch.float32)).all())


def test_a_far_tail_has_its_law() -> None:
    """Beyond a, the excess of a standard normal has mean φ(a) / (1 - Φ(a)) - a (the inverse Mills ratio)."""
    values = Draws(0, "w").trunc_normal((200_000,), 0, 1, 6, 1e6, torch.float64)
    mills = math.exp(-18) / math.sqrt(2 * math.pi) / (math.erfc(6 / math.sqrt(2)) / 2)
    assert math.isclose(float(values.mean()), mills, abs_tol=1e-3)


@pytest.mark.parametrize(
    "draw",
    [
        lambda draws: draws.uniform((2,), 1, 0),
        lambda draws: draws.uniform((2,), 0, math.inf),
        lambda draws: draws.uniform((2,), math.nan, 1),
        lambda draws: draws.uniform((2,), 0, 1e300),
        lambda draws: draws.normal((2,), 0, -1),
        lambda draws: draws.normal((2,), math.nan, 1),
        lambda draws: draws.normal((2,), dtype=torch.int64),
        lambda draws: draws.uniform((2,), dtype=torch.int64),
        lambda draws: draws.trunc_normal((2,), 0, 0),
        lambda draws: draws.trunc_normal((2,), 0, 1, 2, 1),
    ],
)
def test_what_has_no_law_is_refused(draw: Callable[[Draws], Tensor]) -> None:
    with pytest.raises(ValueError, match="need"):
        draw(Draws(0, "w"))
