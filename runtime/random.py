"""Random numbers that are a function of (seed, parameter name, stream, position in the tensor) alone.

A tensor is read as a flat row of real numbers (a complex element is two of them) and cut into chunks of
`CHUNK`. Each chunk has a generator of its own, whose whole state is a hash of what identifies the chunk, and
is always drawn in full, on the CPU. So the value at a position depends neither on the number of threads, nor
on the device that the tensor goes to, nor on the size of the tensor, nor on other parameters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

FORMAT = 1
"""Version of the scheme. Part of every hash: a change to it changes every value."""

CHUNK = 2**15
"""Real numbers per chunk.

Not above ATen's grain size (32768), so that no operation on one chunk starts threads of its own inside a
worker; large enough that making a generator is a tenth of the work."""

_GROUP = 4
"""Chunks per task of the pool. Scheduling only: no value depends on it."""

_ROUNDS = 256
"""Rounds of rejection sampling. Each accepts at least 30 % of the normal candidates; uniform candidates get sixteen
times as many rounds, and each accepts at least 1 % of them. What is left then is cut to the bounds."""

Law = Callable[[Tensor, torch.Generator], object]
"""Fills a one-dimensional float tensor of `CHUNK` elements in place."""


@dataclass(frozen=True)
class Draws:
    """The random numbers that belong to one parameter.

    `stream` tells several draws for the same parameter apart. `pool` draws the chunks of large tensors in
    parallel and changes no value; methods that were given a pool must not be called from a task of that
    same pool, which could wait for itself. `start` is the position at which a draw begins in the tensor: the
    part of a large one that a shard holds is drawn alone, with the values that it has in the whole.
    """

    seed: int
    name: str
    stream: int = 0
    pool: Executor | None = field(default=None, compare=False, repr=False)
    start: int = 0

    def uniform(
        self, shape: Sequence[int], low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Uniform over [low, high), a CPU tensor of `shape`.

        In a complex tensor real and imaginary part each are. Casting to a dtype of lower precision may round
        a value up to `high`.
        Raises ValueError if low > high, if a bound is not finite in the dtype, or if `dtype` is not floating.
        """
        drawn, widest = torch.finfo(_drawn_dtype(dtype)), torch.finfo(dtype).max
        if not (low <= high and abs(low) <= widest and abs(high) <= widest and high - low <= drawn.max):
            raise ValueError(f"uniform needs finite bounds, the lower one first, not {low} and {high}")
        return self._fill(shape, dtype, lambda chunk, source: chunk.uniform_(low, high, generator=source))

    def normal(
        self, shape: Sequence[int], mean: float = 0.0, std: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Draw a normal CPU tensor of `shape`.

        The parts of complex values have the mean and half the variance each, as in `torch.Tensor.normal_`.
        Raises ValueError if std is negative, if mean or std is not finite, or if `dtype` is not floating.
        """
        _check_normal(mean, std, "normal")
        part = std / math.sqrt(2) if dtype.is_complex else std
        return self._fill(shape, dtype, lambda chunk, source: chunk.normal_(mean, part, generator=source))

    def trunc_normal(
        self,
        shape: Sequence[int],
        mean: float = 0.0,
        std: float = 1.0,
        a: float = -2.0,
        b: float = 2.0,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw a normal CPU tensor of `shape`, restricted to [a, b] (absolute bounds, as in torch).

        Raises ValueError if std is not positive, if a > b, if mean or std is not finite, or if `dtype` is not
        floating. `a` and `b` may be infinite.
        """
        _check_normal(mean, std, "trunc_normal")
        if std == 0 or not a <= b:
            raise ValueError(f"trunc_normal needs std > 0 and a <= b, not std={std}, a={a}, b={b}")
        return self._fill(shape, dtype, _truncated(mean, std, a, b))

    def generator(self) -> torch.Generator:
        """Return a CPU generator for what can only be drawn for a whole tensor, in one thread."""
        return self._generator("whole")

    def at(self, start: int) -> Draws:
        """Return the draws of what lies from position `start` on, in a tensor that is read as a row of elements.

        `draws.at(40).normal((10,))` is `draws.normal((100,))[40:50]`, and draws the chunks around it alone.
        Raises ValueError if the position is negative.
        """
        if start < 0:
            raise ValueError(f"a position in a tensor is 0 or more, not {start}")
        return replace(self, start=start)

    def branch(self, index: int) -> Draws:
        """Return a stream for part `index` of this draw, whose own branches meet no other's.

        The streams of the terms of an expression are branches: each may itself use any number of streams.
        """
        digest = hashlib.blake2b(f"{FORMAT}:branch:{self.stream}:{index}".encode(), digest_size=8).digest()
        return replace(self, stream=int.from_bytes(digest, "big") >> 1)

    def _generator(self, chunk: int | str) -> torch.Generator:
        # The name comes last: the fields before it hold no colon, so no two keys are the same text.
        key = f"{FORMAT}:{self.seed}:{self.stream}:{chunk}:{self.name}"
        return _generator_from(key.encode("utf-8", "surrogatepass"))

    def _fill(self, shape: Sequence[int], dtype: torch.dtype, law: Law) -> Tensor:
        work = _drawn_dtype(dtype)
        with torch.inference_mode(False):  # workers may write to it, whatever mode the caller is in
            result = torch.empty(tuple(shape), dtype=dtype, device="cpu")
        flat = (torch.view_as_real(result) if dtype.is_complex else result).view(-1)
        begin = self.start * (2 if dtype.is_complex else 1)
        chunks = range(begin // CHUNK, -(-(begin + flat.numel()) // CHUNK))

        def draw(numbers: range) -> None:
            for number in numbers:
                low, high = number * CHUNK - begin, (number + 1) * CHUNK - begin
                _fill_chunk(flat[max(low, 0) : high], max(-low, 0), work, law, self._generator(number))

        if self.pool is None or len(chunks) <= _GROUP:
            draw(chunks)
        else:
            list(self.pool.map(draw, (chunks[at : at + _GROUP] for at in range(0, len(chunks), _GROUP))))
        return result


def _fill_chunk(
    target: Tensor, skipped: int, work: torch.dtype, law: Law, generator: torch.Generator
) -> None:
    """Draws one chunk in full, straight into `target` (shape [n], n <= CHUNK) where that can hold it.

    `skipped` are the elements of the chunk that lie in front of the target.
    """
    if target.dtype == work and target.numel() == CHUNK:
        law(target, generator)
        return
    chunk = torch.empty(CHUNK, dtype=work, device="cpu")
    law(chunk, generator)
    target.copy_(chunk[skipped : skipped + target.numel()])


def _drawn_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that values of `dtype` are drawn in. Raises ValueError if it is not floating or complex."""
    if not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"random values need a floating-point tensor, and this one is {dtype}")
    return torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32


def _check_normal(mean: float, std: float, name: str) -> None:
    if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
        raise ValueError(f"{name} needs a finite mean and a finite std >= 0, not mean={mean}, std={std}")


# --- The state of a generator ---------------------------------------------------------------------

# `Generator.manual_seed` keeps 32 bits of its seed (at::mt19937): of the chunks of a large model, two would
# easily be alike. So all 624 words of the Mersenne Twister's state are a hash instead. The layout is that of
# CPUGeneratorImpl::get_state: three 64-bit fields, then a 64-bit field for each word.
_WORDS = slice(3, 3 + 624)
_FRESH_STATE = torch.Generator(device="cpu").manual_seed(0).get_state().numpy().view(np.int64)


def _generator_from(key: bytes) -> torch.Generator:
    # By NumPy, since this is done for each chunk, and torch takes twice as long for such small arrays.
    state = _FRESH_STATE.copy()
    state[_WORDS] = np.frombuffer(hashlib.shake_128(key).digest(624 * 4), dtype=np.int32)
    generator = torch.Generator(device="cpu")
    generator.set_state(torch.from_numpy(state.view(np.uint8)))
    return generator


# --- The truncated normal law ---------------------------------------------------------------------


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _truncated(mean: float, std: float, a: float, b: float) -> Law:
    """Return the law of `torch.nn.init.trunc_normal_` (2.13), whose two ways of rejection sampling these are."""
    mass = _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std)
    return _from_normal(mean, std, a, b) if mass > 0.3 else _from_uniform(mean, std, a, b)


def _from_normal(mean: float, std: float, a: float, b: float) -> Law:
    """Return the law of normal candidates that keeps those in [a, b]."""

    def law(chunk: Tensor, generator: torch.Generator) -> None:
        low, high = (chunk.new_tensor(bound).item() for bound in (a, b))
        chunk.normal_(mean, std, generator=generator)
        for _ in range(_ROUNDS):
            pending = torch.nonzero((chunk < low) | (chunk > high)).squeeze(1)
            if pending.numel() == 0:
                return
            chunk[pending] = chunk.new_empty(pending.numel()).normal_(mean, std, generator=generator)
        chunk.clamp_(low, high)

    return law


def _from_uniform(mean: float, std: float, a: float, b: float) -> Law:
    """Uniform candidates: x is kept with probability density(x) / density(mode).

    They are drawn as t = (x - mode) / std, where log density(x) - log density(mode) = -(z t + t² / 2) for
    z = (mode - mean) / std: without the cancellation that far tails would bring. The interval is cut where
    the density has fallen below exp(-46) = 1e-20 of its peak, so that long tails are accepted often enough.
    """
    mode = max(a, min(mean, b))
    z = (mode - mean) / std
    reach = 92.0 / (math.sqrt(z * z + 92.0) + abs(z))  # where |z| t + t² / 2 = 46
    low, high = max((a - mode) / std, -reach), min((b - mode) / std, reach)

    def law(chunk: Tensor, generator: torch.Generator) -> None:
        chunk.uniform_(low, high, generator=generator)
        accept = torch.empty_like(chunk).uniform_(generator=generator).log_()
        pending = torch.nonzero(accept > -(z * chunk + chunk * chunk / 2)).squeeze(1)
        for _ in range(16 * _ROUNDS):
            if pending.numel() == 0:
                break
            t = chunk.new_empty(pending.numel()).uniform_(low, high, generator=generator)
            chunk[pending] = t
            accept = torch.empty_like(t).uniform_(generator=generator).log_()
            pending = pending[accept > -(z * t + t * t / 2)]
        chunk.mul_(std).add_(mode).clamp_(a, b)

    return law
