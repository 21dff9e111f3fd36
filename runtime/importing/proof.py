"""Whether a spec is the module that it was made from: compared before anything is written."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import compiler
from compiler.artifact import Artifact
from runtime.build import build
from runtime.importing.comparing import DiffersError, compared, pair_of
from runtime.importing.first_difference import FirstDifference, first_difference
from runtime.importing.leaves import kept_plugins
from runtime.importing.skeleton import held_tensors
from runtime.importing.trials import Trial


@dataclass(frozen=True)
class Proof:
    """What was compared, and how far the outputs lie apart."""

    differences: tuple[str, ...] = ()
    furthest: float = 0.0
    sizes: int = 0
    trained: bool = False
    first: FirstDifference | None = None
    """Where the spec first has another value, if it has one in a run that was compared."""
    artifact: Artifact | None = field(default=None, compare=False)

    @property
    def holds(self) -> bool:
        return not self.differences


def prove(
    module: nn.Module,
    text: str,
    weights: Mapping[str, Tensor],
    checkpoint: str,
    given: Trial,
    read: Sequence[str],
    unused: Sequence[str] = (),
    saved: Sequence[str] = (),
    looks: bool = False,
) -> Proof:
    """Compile and build a spec, and compare the model with the module.

    `read` are those that the model takes, in its order; `unused` begin the names of what the spec has not, and `saved`
    are buffers that it alone saves.
    """
    artifact = compiler.compile_text(text, name=f"{Path(checkpoint).stem}.yaml", plugins=kept_plugins())
    with tempfile.TemporaryDirectory() as folder:
        if weights:
            save_file(dict(weights), Path(folder, checkpoint))
        model = build(artifact, device="cpu", folder=folder)
        kept = [name for name in module.state_dict() if not name.startswith(tuple(unused) or ("/",))]
        found = [*_state(module, model, [*kept, *saved])]
        if found:
            return Proof(tuple(found), artifact=artifact)
        built = partial(copy.deepcopy, model)
        try:
            pair = compared(module, built, given, read, looks)
        except DiffersError as error:
            pair = pair_of(module, built, read, looks)
            first = first_difference(pair, artifact, error.inputs, error.training)
            return Proof((str(error),), first=first, artifact=artifact)
    return Proof((), pair.furthest, pair.sizes, True, artifact=artifact)


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
