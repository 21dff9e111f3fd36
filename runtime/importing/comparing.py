"""A module and the model of its spec, run side by side in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from runtime.importing.skeleton import copied, register_loose
from runtime.importing.trials import Inputs, Trial

TOLERANCE = 1e-9
SPREAD = 0.02


class InDouble(TorchFunctionMode):
    """What a program casts to float32 on its way, it computes in float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*map(_wide, args), **{name: _wide(value) for name, value in (kwargs or {}).items()})


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


class DiffersError(Exception):
    """Something is not as it is in the module."""

    def __init__(self, said: str, inputs: Inputs, training: bool) -> None:
        super().__init__(said)
        self.inputs, self.training = inputs, training


class NotTakenError(Exception):
    """The module does not run at a size."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial.sizes)
        self.trial = trial


@dataclass
class Pair:
    """A copy of the module, and the model; `read` are the inputs that the model takes, in its order."""

    theirs: nn.Module
    ours: nn.Module
    read: Sequence[str]
    furthest: float = 0.0
    sizes: int = 0

    def compare(self, trial: Trial, training: bool, gradients: bool = False, optional: bool = False) -> None:
        """Compare the outputs in one mode; an optional size may be one that the module does not take.

        Raises:
            DiffersError: they differ.
            NotTakenError: the module raises at a size that is optional.
        """
        inputs = {name: _double(each) for name, each in trial.made().items()}
        self.theirs.train(training)
        self.ours.train(training)
        try:
            expected = run(self.theirs, (), inputs, training)
        except Exception as error:
            if not optional:
                raise
            raise NotTakenError(trial) from error
        for each in self._differences(expected, inputs, training, gradients):
            raise DiffersError(f"{each} ({_said(inputs, training)})", inputs, training)
        self.sizes += not training

    def _differences(
        self, expected: Sequence[Tensor], inputs: Inputs, training: bool, gradients: bool
    ) -> Iterator[str]:
        try:
            found = run(self.ours, [inputs[name] for name in self.read], {}, training)
        except Exception as error:
            yield f"the spec raises {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return
        yield from self._outputs(expected, found)
        if gradients:
            yield from _gradients(self.theirs, self.ours, [expected, found])

    def _outputs(self, expected: Sequence[Tensor], found: Sequence[Tensor]) -> Iterator[str]:
        if len(expected) != len(found):
            yield f"{len(expected)} outputs and {len(found)}"
            return
        for one, other in zip(expected, found, strict=True):
            if one.shape != other.shape:
                yield f"an output is {list(one.shape)}, and {list(other.shape)} in the spec"
                return
            apart = apart_by(one, other)
            self.furthest = max(self.furthest, apart)
            if not apart <= TOLERANCE:
                yield f"outputs lie {apart:.1e} apart"

    def compare_buffers(self, trial: Trial, training: bool) -> None:
        """Compare the buffers after both ran.

        Raises:
            DiffersError: one has another value.
        """
        kept = dict(self.theirs.named_buffers())
        for name, each in self.ours.named_buffers():
            own = kept.get(name)
            if own is not None and (own.shape != each.shape or not near(own, each)):
                said = f"the buffer `{name}` has another value after it ran"
                raise DiffersError(said, trial.made(), training)


def _said(inputs: Inputs, training: bool) -> str:
    shapes = ", ".join(f"{name} {list(each.shape)}" for name, each in inputs.items())
    return f"{shapes}{', in training' if training else ''}"


def compared(
    module: nn.Module,
    built: Callable[[], nn.Module],
    given: Trial,
    read: Sequence[str],
    looks: bool = False,
) -> Pair:
    """Compare a model with the module: on the given inputs, at other sizes, in training, and its gradients.

    What can be is compared on small pictures; where that fails, on pictures of the given size. A module that `looks` at
    what is in tensors is compared on the given inputs alone: others may decide another way.

    Raises:
        DiffersError: they differ.
    """

    pair = partial(pair_of, module, built, read, looks)
    if looks:
        both = pair()
        _compare_all(both, given, [])
        return both
    return _compared_small(pair, given) or _compared_at(pair, given, pair())


def _compared_small(pair: Callable[[], Pair], given: Trial) -> Pair | None:
    """Compare a pair on small pictures but for the first time; None where that says nothing."""
    small = given.small()
    if small is None:
        return None
    both = pair()
    both.compare(given, training=False)
    try:
        return _compared_at(pair, small, both)
    except Exception:
        return None  # the module takes none, or goes another way there: the given sizes decide


def pair_of(
    module: nn.Module, built: Callable[[], nn.Module], read: Sequence[str], looks: bool = False
) -> Pair:
    """Return a module and its model as they were before anything ran.

    Where the module `looks` at what is in tensors, that stays as it is, since it decides the way.
    """
    theirs = copied(module, torch.device("cpu"))
    register_loose(theirs)
    pair = Pair(theirs.double(), built().double(), read)
    if not looks:
        _tell_apart(pair.theirs, pair.ours)
    return pair


def _tell_apart(theirs: nn.Module, ours: nn.Module) -> None:
    """Give parameters that are one number all over others: a branch that zeros multiply may hide anything."""
    own = dict(ours.named_parameters(remove_duplicate=False))
    generator = torch.Generator().manual_seed(0)
    changed: set[int] = set()
    with torch.no_grad():
        for name, each in theirs.named_parameters(remove_duplicate=False):
            if id(each) not in changed and each.numel() > 1 and bool((each == each.flatten()[0]).all()):
                each.add_(SPREAD * torch.randn(each.shape, generator=generator, dtype=torch.float64))
                changed.add(id(each))
            if id(each) in changed and name in own:
                own[name].copy_(each)


def _compared_at(pair: Callable[[], Pair], base: Trial, first: Pair) -> Pair:
    """Compare all pairs of sizes; without those that the module turns out not to take."""
    others, both = base.others(), first
    while True:
        trials = [each[0] for each in others if each]
        try:
            _compare_all(both, base, trials)
        except NotTakenError as missing:
            others = [[each for each in row if each is not missing.trial] for row in others]
            both = pair()
        else:
            return both


def _compare_all(pair: Pair, base: Trial, others: Sequence[Trial]) -> None:
    for training in (False, True):
        pair.compare(base, training, gradients=training)
        for each in others:
            pair.compare(each, training, optional=not training)
        pair.compare_buffers(base, training)


def run(
    module: nn.Module,
    args: Sequence[Tensor],
    kwargs: Inputs,
    training: bool,
    watch: AbstractContextManager[object] | None = None,
) -> list[Tensor]:
    """Return the tensors that a module returns, computed in float64."""
    torch.manual_seed(0)
    with torch.set_grad_enabled(training), _default_double(), InDouble(), watch or nullcontext():
        result = module(
            *[each.clone() for each in args], **{name: each.clone() for name, each in kwargs.items()}
        )
    return list(tensors_of(result))


@contextmanager
def _default_double() -> Iterator[None]:
    """Let what is made without a dtype, `zeros(n)`, be float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _gradients(theirs: nn.Module, ours: nn.Module, results: Sequence[Sequence[Tensor]]) -> Iterator[str]:
    """Yield the parameters whose gradients differ."""
    losses = [sum(each.square().mean() for each in one if each.is_floating_point()) for one in results]
    for module, loss in zip((theirs, ours), losses, strict=True):
        module.zero_grad()
        if isinstance(loss, Tensor) and loss.requires_grad:
            try:
                torch.autograd.backward(loss)
            except RuntimeError:
                if module is theirs:
                    return  # what it changes in place, it cannot be trained with
                raise
    gradients = {name: each.grad for name, each in theirs.named_parameters(remove_duplicate=False)}
    for name, each in ours.named_parameters():
        one, other = gradients[name], each.grad
        if (one is None) != (other is None) or (
            one is not None and other is not None and not near(one, other)
        ):
            yield f"the gradient of `{name}` differs"


def near(one: Tensor, other: Tensor) -> bool:
    return apart_by(one, other) <= TOLERANCE * _scale(one)


def apart_by(one: Tensor, other: Tensor) -> float:
    if not one.numel():
        return 0.0
    if not (one.is_floating_point() or one.is_complex()):
        return 0.0 if torch.equal(one, other) else float("inf")
    one, other = one.detach(), other.detach()
    equal = (one == other) | (one.isnan() & other.isnan())
    return float((one - other).abs().masked_fill(equal, 0).max()) / _scale(one)


def _scale(tensor: Tensor) -> float:
    """Return how large the values of a tensor are, 1 at least."""
    if not tensor.numel() or tensor.dtype == torch.bool:
        return 1.0
    return max(1.0, float(tensor.detach().abs().nan_to_num().max()))


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def tensors_of(result: Any) -> Iterator[Tensor]:
    """Yield the tensors of whatever a module returns."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        yield from tensors_of(tuple(result.values()))
    elif isinstance(result, tuple | list):
        for each in result:
            yield from tensors_of(each)
    elif hasattr(type(result), "__dataclass_fields__"):
        yield from tensors_of(tuple(getattr(result, name) for name in type(result).__dataclass_fields__))
