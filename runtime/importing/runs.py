"""What a module does in both of its modes: the program of each module in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from runtime.importing.interfaces import interfaces_of
from runtime.importing.leaves import idle_layers
from runtime.importing.positions import refuse_at
from runtime.importing.programs import Program, in_both_modes, signature
from runtime.importing.records import Record, Scope
from runtime.importing.skeleton import Skeleton
from runtime.importing.watching import record


def recorded(skeleton: Skeleton, inputs: Mapping[str, Tensor]) -> tuple[dict[nn.Module, Program], Record]:
    """Run a skeleton in evaluation and in training, and return the program of each module in it."""
    given = {name: each.to(skeleton.device) for name, each in inputs.items()}
    run = record(skeleton, (), given, training=False)
    trained = record(skeleton, (), given, training=True)
    interfaces = interfaces_of(run, trained)
    idle = idle_layers(skeleton.root)
    found: dict[nn.Module, Program] = {}
    for module in {**run.scopes, **trained.scopes}:
        scopes, others = run.scopes.get(module, ()), trained.scopes.get(module, ())
        made = [in_both_modes(*each, interfaces, idle) for each in _paired(scopes, others)]
        if len({signature(each) for each in made}) > 1:
            raise refuse_at(
                None,
                "import-two-programs",
                f"`{skeleton.name_of(module)}` is called twice, and does something else each time",
            )
        found[module] = made[0]
    layers = {**trained.layer_inputs, **run.layer_inputs}
    words = {**trained.words, **run.words}
    looks = list(dict.fromkeys([*run.looks, *trained.looks]))
    return found, Record(run.root, {**trained.scopes, **run.scopes}, layers, words, looks, idle)


def _paired(scopes: Sequence[Scope], others: Sequence[Scope]) -> Iterator[tuple[Scope, Scope | None]]:
    """Yield the calls of a module in evaluation with those in training; of what runs in one of them, these alone."""
    for number in range(max(len(scopes), len(others))):
        pair = [*scopes[number : number + 1], *others[number : number + 1]]
        yield pair[0], pair[1] if len(pair) > 1 else None
