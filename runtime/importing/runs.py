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
    """Run a skeleton in evaluation and in training, and return the program of each module in it.

    What does something else each time that it is called has no program: those that call it say what it does.
    """
    open_modules: frozenset[nn.Module] = frozenset()
    while True:
        found, run = _recorded(skeleton, inputs, open_modules)
        several = frozenset(
            module for module, made in found.items() if len({_said(each) for each in made}) > 1
        )
        if not several:
            return {module: made[0] for module, made in found.items()}, run
        if skeleton.root in several or several <= open_modules:
            name = skeleton.name_of(next(iter(several)))
            message = f"`{name}` is called twice, and does something else each time"
            raise refuse_at(None, "import-two-programs", message)
        open_modules |= several


def _recorded(
    skeleton: Skeleton, inputs: Mapping[str, Tensor], open_modules: frozenset[nn.Module]
) -> tuple[dict[nn.Module, list[Program]], Record]:
    given = {name: each.to(skeleton.device) for name, each in inputs.items()}
    run = record(skeleton, (), given, False, open_modules)
    trained = record(skeleton, (), given, True, open_modules)
    interfaces = interfaces_of(run, trained)
    idle = idle_layers(skeleton.root)
    found: dict[nn.Module, list[Program]] = {}
    for module in {**run.scopes, **trained.scopes}:
        scopes, others = run.scopes.get(module, ()), trained.scopes.get(module, ())
        found[module] = [in_both_modes(*each, interfaces, idle) for each in _paired(scopes, others)]
    layers = {**trained.layer_inputs, **run.layer_inputs}
    words = {**trained.words, **run.words}
    looks = list(dict.fromkeys([*run.looks, *trained.looks]))
    return found, Record(run.root, {**trained.scopes, **run.scopes}, layers, words, looks, idle)


def _paired(scopes: Sequence[Scope], others: Sequence[Scope]) -> Iterator[tuple[Scope, Scope | None]]:
    """Yield the calls of a module in evaluation with those in training; of what runs in one of them, these alone."""
    for number in range(max(len(scopes), len(others))):
        pair = [*scopes[number : number + 1], *others[number : number + 1]]
        yield pair[0], pair[1] if len(pair) > 1 else None


def _said(program: Program) -> object:
    return signature(program), tuple(each.number for each in program.literals)
