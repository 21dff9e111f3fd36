"""Properties of a layer that is built from a spec: its first values, and what freezing does."""

from __future__ import annotations

import torch
from torch import nn

import compiler
import runtime
from compiler.artifact import Artifact
from runtime.testing.case import Case, call, fixed_random
from runtime.testing.comparison import difference
from runtime.testing.outcome import Failure, Skip
from runtime.testing.properties.gradients import followed_inputs, loss_of
from spec_schema.plain import to_yaml


def artifact_of(case: Case, **more: object) -> Artifact:
    """Compile the spec of an example, with more sections if some are given."""
    plugin = case.subject.plugin
    document = {**case.document(), **more}
    return compiler.compile_text(to_yaml(document), plugins=[] if plugin is None else [plugin])


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


class _filled_memory:
    """Fill the memory that `torch.empty` gives with NaN for a while."""

    def __enter__(self) -> None:
        self.before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *error: object) -> None:
        torch.use_deterministic_algorithms(self.before)


def _reached(model: nn.Module, case: Case) -> list[str]:
    """Return the inputs that a gradient reaches."""
    values = followed_inputs(case.values())
    followed = {name: each for name, each in values.items() if each.requires_grad}
    loss = loss_of(call(model, values))
    if not followed or not loss.requires_grad:
        return []
    gradients = torch.autograd.grad(loss, list(followed.values()), allow_unused=True)
    return [name for name, each in zip(followed, gradients, strict=True) if each is not None]


def freeze(case: Case) -> None:
    """Frozen by a rule, a layer stays as it is in training too, and lets gradients through."""
    if not list(case.make().parameters()):
        raise Skip("it has no parameters")
    model = runtime.build(artifact_of(case, freeze=["layer"]), seed=case.seed).train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    trained = [name for name, each in model.named_parameters() if each.requires_grad]
    if trained:
        raise Failure(f"`{trained[0]}` is trained in spite of `freeze`")
    if _reached(model, case) != _reached(case.make().train(), case):
        raise Failure(
            f"frozen, gradients reach {_reached(model, case)}, else {_reached(case.make().train(), case)}"
        )
    for name, each in model.state_dict().items():
        if (found := difference(before[name], each, exact=True)) is not None:
            raise Failure(f"frozen, `{name}` changes: from and to {found}")
