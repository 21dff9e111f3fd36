"""Whether a spec is the module that it was made from: compared before anything is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import compiler
from compiler.artifact import Artifact
from runtime.build import build
from runtime.importing.skeleton import copied, held_tensors, register_loose

TOLERANCE = 1e-9

Inputs = Mapping[str, Tensor]
"""By the names that the module has for them."""


@dataclass(frozen=True)
class Proof:
    """What was compared, and how far the outputs lie apart."""

    differences: tuple[str, ...] = ()
    furthest: float = 0.0
    sizes: int = 0
    trained: bool = False
    artifact: Artifact | None = field(default=None, compare=False)

    @property
    def holds(self) -> bool:
        return not self.differences


class InDouble(TorchFunctionMode):
    """What a program casts to float32 on its way, it computes in float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*map(_wide, args), **{name: _wide(value) for name, value in (kwargs or {}).items()})


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def prove(
    module: nn.Module,
    text: str,
    weights: Mapping[str, Tensor],
    checkpoint: str,
    inputs: Sequence[Inputs],
    read: Sequence[str],
    unused: Sequence[str] = (),
    saved: Sequence[str] = (),
) -> Proof:
    """Compile and build a spec, and compare the model with the module, on each of these inputs.

    `read` are those that the model takes, in its order; `unused` begin the names of what the spec has not, and `saved`
    are buffers that it alone saves.
    """
    artifact = compiler.compile_text(text)
    with tempfile.TemporaryDirectory() as folder:
        if weights:
            save_file(dict(weights), Path(folder, checkpoint))
        model = build(artifact, device="cpu", folder=folder)
    kept = [name for name in module.state_dict() if not name.startswith(tuple(unused) or ("/",))]
    found = [*_state(module, model, [*kept, *saved])]
    if found:
        return Proof(tuple(found), artifact=artifact)
    furthest, differences = _outputs(module, model, inputs, read)
    return Proof(tuple(differences), furthest, len(inputs), True, artifact)


def _state(module: nn.Module, model: nn.Module, kept: Sequence[str]) -> Iterator[str]:
    """Yield what differs in keys, shapes, dtypes, values, ties and frozen parts."""
    theirs = {**held_tensors(module), **module.state_dict()}
    ours = model.state_dict()
    for name in sorted(set(kept) ^ set(ours)):
        yield f"`{name}` is only in the {'module' if name in theirs else 'spec'}"
    for name in sorted(set(kept) & set(ours)):
        one, other = theirs[name], ours[name]
        if one.shape != other.shape or one.dtype != other.dtype:
            yield f"`{name}` is {one.dtype} {list(one.shape)}, and {other.dtype} {list(other.shape)} in the spec"
        elif not torch.equal(one.cpu(), other.cpu()):
            yield f"`{name}` has other values"
    own = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if _tied(module, own) != _tied(model, own):
        yield "other parameters are one"
    trained = [
        {
            name
            for name, each in one.named_parameters(remove_duplicate=False)
            if each.requires_grad and name in own
        }
        for one in (module, model)
    ]
    if trained[0] != trained[1]:
        yield f"others are frozen: {', '.join(sorted(trained[0] ^ trained[1]))}"


def _tied(module: nn.Module, among: set[str]) -> set[frozenset[str]]:
    names: dict[int, set[str]] = {}
    for name, each in module.named_parameters(remove_duplicate=False):
        if name in among:
            names.setdefault(id(each), set()).add(name)
    return {frozenset(each) for each in names.values() if len(each) > 1}


def _outputs(
    module: nn.Module, model: nn.Module, inputs: Sequence[Inputs], read: Sequence[str]
) -> tuple[float, list[str]]:
    """Return how far the outputs lie apart at most, in float64, and what differs."""
    theirs, ours = copied(module, torch.device("cpu")), model.double()
    register_loose(theirs)
    theirs.double()
    furthest = 0.0
    for training in (False, True):
        theirs.train(training)
        ours.train(training)
        for number, each in enumerate(inputs):
            wide = {name: _double(one) for name, one in each.items()}
            results = [
                _run(theirs, (), wide, training),
                _run(ours, [wide[name] for name in read], {}, training),
            ]
            where = f"inputs {number + 1}{', in training' if training else ''}"
            if len(results[0]) != len(results[1]):
                return furthest, [f"{len(results[0])} outputs and {len(results[1])} ({where})"]
            for one, other in zip(*results, strict=True):
                if one.shape != other.shape:
                    return furthest, [
                        f"an output is {list(one.shape)}, and {list(other.shape)} in the spec ({where})"
                    ]
                apart = _apart(one, other)
                furthest = max(furthest, apart)
                if not apart <= TOLERANCE:
                    return furthest, [f"outputs lie {apart:.1e} apart ({where})"]
            if training and number == 0:
                differences = list(_gradients(theirs, ours, results))
                if differences:
                    return furthest, differences
        differences = list(_buffers(theirs, ours))
        if differences:
            return furthest, differences
    return furthest, []


def _buffers(theirs: nn.Module, ours: nn.Module) -> Iterator[str]:
    """Yield the buffers that are not what they are in the module after both ran."""
    kept = dict(theirs.named_buffers())
    for name, each in ours.named_buffers():
        own = kept.get(name)
        if own is not None and (own.shape != each.shape or not _near(own, each)):
            yield f"the buffer `{name}` has another value after it ran"


def _run(module: nn.Module, args: Sequence[Tensor], kwargs: Inputs, training: bool) -> list[Tensor]:
    torch.manual_seed(0)
    with torch.set_grad_enabled(training), _default_double(), InDouble():
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
            one is not None and other is not None and not _near(one, other)
        ):
            yield f"the gradient of `{name}` differs"


def _near(one: Tensor, other: Tensor) -> bool:
    return _apart(one, other) <= TOLERANCE * _scale(one)


def _apart(one: Tensor, other: Tensor) -> float:
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
