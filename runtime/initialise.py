"""First values: each a function of the seed, the canonical name and the position in the tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from compiler.artifact import Artifact
from compiler.infer.block_parameters import float_dtype
from compiler.infer.states import BlockState, Leaf
from compiler.rules.checkpoint_call import Surgery
from compiler.rules.initialisation import InitEvaluator
from compiler.rules.plan import Initialisation, Parametrized, PlanRow
from runtime.checkpoint_mapping.loading import CheckpointValues
from runtime.constructor_values import ConstructorValues, seeded
from runtime.initializers import INITIALIZERS, TRANSFORMATIONS, mixture, one_thread
from runtime.parametrized import is_made, stored_tensors
from runtime.random import Draws
from runtime.windows import ALIKE, Window, WindowDraws, check_window, cut, law_in_window
from runtime.work import check_work
from spec_schema.diagnostics import refuse
from spec_schema.selectors import parse_selector, path_of
from spec_schema.shown import shown


def initial_values(
    artifact: Artifact,
    selector: str = "/",
    seed: int = 0,
    folder: str | Path | None = None,
    allow_large: bool = False,
    windows: Mapping[str, Window] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """Return the first values of some tensors of a model, by canonical name, on the CPU.

    They are those that `build` gives, and nothing else is drawn: two halves of a model can be made in two
    places. A tensor that is shared is selected by any of its names. `windows` has a range for each dimension of a
    tensor, by canonical name, of which no more than that part is returned.

    Raises:
        SpecError: the selector is malformed, a checkpoint that the spec names does not fit, or the values take too much
            work and `allow_large` is not given.
        ValueError: the selector names nothing, or a window does not lie in its tensor.
    """
    rows = artifact.plan.select(parse_selector(selector, None))
    if not rows:
        raise ValueError(f"`{shown(selector)}` names no parameter or buffer of {artifact.name}")
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        first_values = FirstValues(artifact, seed, folder, pool)
        check_work(artifact, rows, allow_large, first_values.checkpoints)
        return {row.name: first_values(row, windows.get(row.name)) for row in rows}


@dataclass(eq=False)
class FirstValues:
    """Makes the first values of the tensors of a model, on the CPU: each by itself, in any order.

    Checkpoints that the spec names are looked up from `folder`, by default that of the spec. `pool` draws
    the chunks of large tensors in parallel.
    """

    artifact: Artifact
    seed: int = 0
    folder: str | Path | None = None
    pool: Executor | None = None
    own: ConstructorValues = field(init=False)
    checkpoints: CheckpointValues = field(init=False)
    made: tuple[object, str, Mapping[str, Tensor]] = (None, "", MappingProxyType({}))
    """The parametrised parameter whose tensors were made last, and these."""

    def __post_init__(self) -> None:
        self.own = ConstructorValues(self.seed)
        self.checkpoints = CheckpointValues(self.artifact, self.folder)

    def __call__(self, row: PlanRow, window: Window | None = None) -> Tensor:
        """Return the first values of a row of the plan, or those in a window of it.

        Raises:
            SpecError: a checkpoint has no such tensor, or one of another shape; or what a plugin makes is
                not the tensor that it should be.
            ValueError: the window does not lie in the tensor.
        """
        if window is not None:
            check_window(window, row.shape, row.name)
        with _sealed(_exact(row)):
            return (self._values(row) if window is None else self._part(row, window)).contiguous()

    def _part(self, row: PlanRow, window: Window) -> Tensor:
        """Return the values in a window, which are drawn alone where the law allows that."""
        if row.copied is not None and not is_made(row):
            return self(self.artifact.plan.plain.by_name[row.copied.name], window).to(row.dtype)
        made = row.initialisation
        if made is None or not self.draws_alone(row):
            return cut(self._values(row), window).clone()
        draws = WindowDraws(self.seed, row.name, pool=self.pool, window=window)
        part = self._drawn(row, made, draws)
        value = part if part.shape == torch.Size(map(len, window)) else cut(part, window).clone()
        return _padded(value, tuple(at - window[0].start for at in row.zero_rows if at in window[0]))

    def draws_alone(self, row: PlanRow) -> bool:
        """Return whether a window of a row is drawn without the rest."""
        if row.copied is not None and not is_made(row):
            return self.draws_alone(self.artifact.plan.plain.by_name[row.copied.name])
        made = row.initialisation
        keyed = made is not None and law_in_window(made, self._registered) is not None
        return keyed and not row.source.is_computed

    @property
    def _registered(self) -> Mapping[str, Callable[..., Any]]:
        return self.artifact.program.scope.plugins.initializers

    def _stored(self, row: PlanRow, found: Parametrized) -> Tensor:
        """Return a tensor that a layer stores for a parametrised parameter; those of one parameter are made at once."""
        if self.made[0] is not found.by or self.made[1] != found.plain.name:
            value = self._values(found.plain)
            self.made = found.by, found.plain.name, stored_tensors(found, value, self.seed)
        return self.made[2][path_of(found.stored.path)].to(row.dtype, copy=True)

    def _values(self, row: PlanRow) -> Tensor:
        if row.stands_for is not None and is_made(row):
            return self._stored(row, row.stands_for)
        owner = row.source.owner
        if row.copied is not None:
            return self(self.artifact.plan.plain.by_name[row.copied.name]).to(row.dtype)
        if row.source.is_computed:
            return self._computed(row)
        if row.initialisation is not None:
            draws = Draws(self.seed, row.name, pool=self.pool)
            return _padded(self._drawn(row, row.initialisation, draws), row.zero_rows)
        assert isinstance(owner, Leaf)
        return self.own.tensor(owner, row.source).to(row.dtype, copy=True)

    def _drawn(self, row: PlanRow, initialisation: Initialisation, draws: Draws) -> Tensor:
        source = RuntimeSource(row, draws, self._registered, self.checkpoints)
        evaluator = InitEvaluator(
            initialisation.expression, initialisation.names, row.shape, source, source.registered
        )
        value = evaluator.result()
        if not isinstance(value, Tensor):
            return torch.full(row.shape, value, dtype=row.dtype)
        if value.shape == torch.Size(row.shape) or isinstance(draws, WindowDraws):
            return value.to(row.dtype)
        return value.to(row.dtype).broadcast_to(row.shape).clone()

    def _computed(self, row: PlanRow) -> Tensor:
        """Compute the `value` of a buffer."""
        state, entry = row.source.owner, row.source.entry
        assert isinstance(state, BlockState)
        assert entry is not None
        value = self.artifact.inferred.value(entry, state)
        if tuple(value.shape) != row.shape:
            raise refuse(
                "wrong-size",
                f"the value of `{row.name}` has the shape {list(value.shape)}",
                entry.span,
                notes=(f"inferred: {list(row.shape)}",),
            )
        return value.to(row.dtype).clone()


def _padded(value: Tensor, rows: tuple[int, ...]) -> Tensor:
    """Return a value with zero in its rows of padding."""
    if not rows:
        return value
    value = value.contiguous()  # what an expression repeats by its strides has a row of its own then
    value[list(rows)] = 0
    return value


def _exact(row: PlanRow) -> torch.dtype:
    """Return the dtype to draw in, double for what is of it and else single: values are rounded once, at their end."""
    owner = row.source.owner
    dtype = owner.dtype if isinstance(owner, Leaf) else row.dtype
    return torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32


@contextmanager
def _sealed(dtype: torch.dtype) -> Iterator[None]:
    """Shut out what surrounds the caller, so that no value depends on it.

    That is the number of threads (by which sums differ in their last bits), default device and default dtype,
    autocast and inference mode. `dtype` is what `float` is.
    """
    with (
        one_thread(),
        torch.device("cpu"),
        float_dtype(dtype),
        torch.autocast("cpu", enabled=False),
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        yield


@dataclass(frozen=True)
class RuntimeSource:
    """Draws the values of one tensor."""

    row: PlanRow
    draws: Draws
    registered: Mapping[str, Callable[..., Any]]
    checkpoints: CheckpointValues
    guesses: bool = False

    def draw(self, name: str, arguments: Mapping[str, Any], branch: Sequence[int]) -> Tensor:
        draws = self._branch(branch)
        if name in self.registered:
            return self._registered(name, arguments, draws)
        shape = self.row.shape
        if isinstance(draws, WindowDraws) and name in ALIKE:
            shape = tuple(map(len, draws.window))
        return INITIALIZERS[name](shape, self.row.dtype, draws, **arguments)

    def mix(self, parts: Sequence[tuple[float, Callable[[], Tensor]]], branch: Sequence[int]) -> Tensor:
        return mixture(self.row.shape, self.row.dtype, self._branch(branch), parts)

    def checkpoint(self, surgery: Surgery) -> Tensor:
        return self.checkpoints.value(surgery, self.row)

    def transform(self, name: str, tensor: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        return TRANSFORMATIONS[name](tensor, **arguments)

    def _branch(self, numbers: Sequence[int]) -> Draws:
        draws = self.draws
        for number in numbers:
            draws = draws.branch(number)
        return draws

    def _registered(self, name: str, arguments: Mapping[str, Any], draws: Draws) -> Tensor:
        """Call a plugin's initialiser, and copy what it may keep.

        Torch's global generator is seeded too, for one that draws from it.

        Raises:
            ValueError: it returns no tensor of the shape.
        """
        positional = [value for key, value in arguments.items() if key.isdigit()]
        named = {key: value for key, value in arguments.items() if not key.isdigit()}
        with seeded(draws.branch(0)):
            made = self.registered[name](self.row.shape, *positional, generator=draws.generator(), **named)
        if not isinstance(made, Tensor):
            raise ValueError(f"{name} returned {type(made).__name__}, not a tensor")
        if made.shape != torch.Size(self.row.shape):
            raise ValueError(
                f"{name} returned a tensor of shape {list(made.shape)}, not {list(self.row.shape)}"
            )
        return made.detach().to("cpu", self.row.dtype, copy=True)
