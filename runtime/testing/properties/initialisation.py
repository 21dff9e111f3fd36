"""Properties of a layer that is built from a spec: its first values, and what freezing does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.testing.case import Case, call, fixed_random
from runtime.testing.comparison import difference
from runtime.testing.outcome import Failure, Skip
from runtime.testing.properties.gradients import followed_inputs, gradients_of, loss_of
from spec_schema.canonical import to_yaml


def artifact_of(case: Case, **more: object) -> Artifact:
    """Compile the spec of an example, with more sections if some are given."""
    return compiler.compile_text(to_yaml({**case.document(), **more}), plugins=case.subject.plugins)


def by_name(case: Case) -> None:
    """The first values follow from the seed and the name, and there is one for every element."""
    artifact = artifact_of(case)
    states = []
    for seed in (1, 2):
        with fixed_random(seed), _filled_memory():
            states.append(runtime.build(artifact, seed=case.seed).state_dict())
    for name, one in states[0].items():
        if one.is_floating_point() and bool(one.isnan().any()):
            raise Failure(
                f"`{name}` has elements without a value", "the constructor leaves `torch.empty` as it is"
            )
        if (found := difference(one, states[1][name], exact=True)) is not None:
            raise Failure(
                f"built twice with one seed, `{name}` is {found}",
                "the constructor draws from elsewhere than torch",
            )


@contextmanager
def _filled_memory() -> Iterator[None]:
    """Fill the memory that `torch.empty` gives with NaN for a while."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _reached(model: nn.Module, case: Case) -> list[str]:
    """Return the inputs that a gradient reaches."""
    values = followed_inputs(case.values())
    followed = {name: each for name, each in values.items() if each.requires_grad}
    loss = loss_of(call(model, values))
    if not followed or not loss.requires_grad:
        return []
    found = zip(followed, gradients_of(loss, followed), strict=True)
    return [name for name, each in found if each is not None]


def freeze(case: Case) -> None:
    """Frozen by a rule, a layer stays as it is in training too, and lets gradients through."""
    if not list(case.make().parameters()):
        raise Skip("it has no parameters")
    model = runtime.build(artifact_of(case, freeze=["layer"]), seed=case.seed).train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    trained = [name for name, each in model.named_parameters() if each.requires_grad]
    if trained:
        raise Failure(f"`{trained[0]}` is trained in spite of `freeze`")
    frozen, free = _reached(model, case), _reached(case.make().train(), case)
    if frozen != free:
        raise Failure(f"frozen, gradients reach {frozen}, else {free}")
    for name, each in model.state_dict().items():
        if (found := difference(before[name], each, exact=True)) is not None:
            raise Failure(f"frozen, `{name}` changes: from and to {found}")
