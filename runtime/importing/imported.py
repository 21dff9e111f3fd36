"""`from_module`: the spec of a live module, proven before anybody sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from runtime.importing.blocks import Generaliser, class_name
from runtime.importing.interfaces import interfaces_of
from runtime.importing.leaves import idle_layers
from runtime.importing.positions import refuse_at
from runtime.importing.programs import Program, in_both_modes, signature
from runtime.importing.proof import Proof, prove
from runtime.importing.records import Record, Scope
from runtime.importing.skeleton import Skeleton, named_tensors
from runtime.importing.state import frozen, ties, weights
from runtime.importing.watching import record
from runtime.importing.writing import Document, written

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Report:
    """What was found out on the way."""

    proof: Proof | None
    unused: tuple[str, ...] = ()
    """Layers of the module that nothing calls: the spec has none of them."""


@dataclass(frozen=True)
class Imported:
    """A spec, with the weights that its `checkpoint` rule reads."""

    text: str
    weights: Mapping[str, Tensor] = field(repr=False)
    report: Report
    checkpoint: str = WEIGHTS

    def save(self, path: str | Path) -> None:
        """Write the spec, and the weights beside it."""
        target = Path(path)
        if self.weights:
            save_file(dict(self.weights), target.parent / self.checkpoint)
        target.write_text(self.text, encoding="utf-8")


def from_module(
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    name: str | None = None,
    checkpoint: str = WEIGHTS,
    prove_it: bool = True,
) -> Imported:
    """Return the spec of a module that is called with these inputs.

    The first dimension of each input is the batch, and open.

    Raises:
        SpecError: something in the module cannot be said in the language, or the spec is not equal to it.
    """
    skeleton = Skeleton(module)
    document, unused = described(module, skeleton, inputs, name, checkpoint)
    text = written(document)
    kept = {key: each for key, each in weights(module).items() if not key.startswith(unused or ("/",))}
    proof = prove(module, text, kept, checkpoint, [inputs, other_batch(inputs)], unused) if prove_it else None
    if proof is not None and not proof.holds:
        raise refuse_at(None, "import-differs", f"the spec is not the module: {proof.differences[0]}")
    return Imported(text, kept, Report(proof, unused), checkpoint)


def described(
    module: nn.Module, skeleton: Skeleton, inputs: Sequence[Tensor], name: str | None, checkpoint: str
) -> tuple[Document, tuple[str, ...]]:
    """Return the document of a module, and what in it nothing uses."""
    programs, run = recorded(skeleton, inputs)
    generaliser = Generaliser(run, programs, dict(named_tensors(module)))
    model = generaliser.model()
    unused = _unused(skeleton, generaliser)
    shapes = _input_types(inputs)
    signature_names = model.inputs or [f"x{number}" for number in range(len(inputs))]
    document = Document(
        name=name or class_name(type(module)),
        inputs=dict(zip(signature_names, shapes, strict=False)),
        dims={"batch": int(inputs[0].shape[0])} if inputs and inputs[0].ndim else {},
        blocks=list(generaliser.blocks.values()),
        model=model,
        share={key: each for key, each in ties(module).items() if not each[0].startswith(unused or ("/",))},
        freeze=[each for each in frozen(module) if not each[1:].startswith(unused or ("/",))],
        checkpoint=checkpoint if weights(skeleton.root) else None,
    )
    return document, unused


def recorded(skeleton: Skeleton, inputs: Sequence[Tensor]) -> tuple[dict[nn.Module, Program], Record]:
    """Run a skeleton in evaluation and in training, and return the program of each module in it."""
    given = [each.to("meta") for each in inputs]
    run = record(skeleton, given, {}, training=False)
    trained = record(skeleton, given, {}, training=True)
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
    return found, Record(
        run.root, {**trained.scopes, **run.scopes}, layers, {**trained.words, **run.words}, idle
    )


def _paired(scopes: Sequence[Scope], others: Sequence[Scope]) -> Iterator[tuple[Scope, Scope | None]]:
    """Yield the calls of a module in evaluation with those in training; of what runs in one of them, these alone."""
    for number in range(max(len(scopes), len(others))):
        pair = [*scopes[number : number + 1], *others[number : number + 1]]
        yield pair[0], pair[1] if len(pair) > 1 else None


def _unused(skeleton: Skeleton, generaliser: Generaliser) -> tuple[str, ...]:
    names = [
        name
        for each, names in skeleton.modules.items()
        if each not in generaliser.used
        for name in names
        if name
    ]
    outermost = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
    return tuple(f"{name}." for name in outermost)


def _input_types(inputs: Sequence[Tensor]) -> list[str]:
    types = []
    for each in inputs:
        dtype = "float" if each.dtype == torch.get_default_dtype() else str(each.dtype).removeprefix("torch.")
        types.append(f"{dtype}[{', '.join(['batch', *map(str, each.shape[1:])])}]")
    return types


def other_batch(inputs: Sequence[Any]) -> list[Any]:
    """Return the same inputs with one more in the batch."""
    return [
        torch.cat([each, each[:1]]) if isinstance(each, Tensor) and each.ndim else each for each in inputs
    ]
