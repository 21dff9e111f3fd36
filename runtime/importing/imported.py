"""`from_module`: the spec of a live module, proven before anybody sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from runtime.files.atomic import write_whole
from runtime.importing.blocks import Generaliser, class_name
from runtime.importing.inputs import Given, Input, inputs_of
from runtime.importing.kept import Kept, types_of
from runtime.importing.kept_plugin import KeptPlugin, as_plugin
from runtime.importing.leaves import kept_plugins
from runtime.importing.parametrizations import parametrized
from runtime.importing.positions import refuse_at, span_of
from runtime.importing.proof import Proof, prove
from runtime.importing.recording import ValuesNeeded
from runtime.importing.runs import recorded
from runtime.importing.skeleton import Skeleton, held_tensors
from runtime.importing.state import dtypes, frozen, stays_in_evaluation, ties, weights
from runtime.importing.trials import Trial
from runtime.importing.writing import Document, written
from spec_schema.diagnostics import Label, SpecError, refuse

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Report:
    """What was found out on the way."""

    proof: Proof | None
    unused: tuple[str, ...] = ()
    """Layers of the module that nothing calls: the spec has none of them."""
    saved: tuple[str, ...] = ()
    """Buffers that the module does not save, and the spec does: nothing says how they were computed."""
    looks: tuple[str, ...] = ()
    """Where its code goes another way for other values, which the spec does not: file and line."""


@dataclass(frozen=True)
class Imported:
    """A spec, with the weights that its `checkpoint` rule reads."""

    text: str
    weights: Mapping[str, Tensor] = field(repr=False)
    report: Report
    checkpoint: str = WEIGHTS
    plugin: KeptPlugin | None = None
    """The layers that stay Python, which the spec requires."""

    def save(self, path: str | Path) -> None:
        """Write the spec, and beside it the weights and the plugin that it needs."""
        target = Path(path)
        if self.plugin is not None:
            self.plugin.save(target.parent)
        if self.weights:
            values = save(dict(self.weights))
            write_whole(target.parent / self.checkpoint, lambda file: file.write(values))
        write_whole(target, lambda file: file.write(self.text.encode()))


def from_module(
    module: nn.Module,
    inputs: Sequence[Given] | Mapping[str, Given],
    *,
    dims: Mapping[str, int] | None = None,
    name: str | None = None,
    checkpoint: str = WEIGHTS,
    prove_it: bool = True,
    keep: Sequence[Kept] = (),
) -> Imported:
    """Return the spec of a module that is called with these inputs.

    An input is an example, whose first dimension is the batch and open, or a type as in a spec: `float32[batch, 3,
    height, width]`. `dims` are example sizes of open dimensions. Modules of the types in `keep` stay layers of Python.

    Raises:
        SpecError: something in the module cannot be said in the language, or the spec is not equal to it.
    """
    with as_plugin(module, types_of(module, keep), Path(checkpoint).stem) as plugin:
        made = _imported(module, inputs, dims, name, checkpoint, prove_it)
        return replace(made, plugin=plugin)


def _imported(
    module: nn.Module,
    inputs: Sequence[Given] | Mapping[str, Given],
    dims: Mapping[str, int] | None,
    name: str | None,
    checkpoint: str,
    prove_it: bool,
) -> Imported:
    given, sizes = inputs_of(module, inputs, dims or {})
    try:
        skeleton = Skeleton(module)
        document, report = described(module, skeleton, given, sizes, name, checkpoint)
    except ValuesNeeded:
        skeleton = Skeleton(module, "cpu")
        document, report = described(module, skeleton, given, sizes, name, checkpoint)
    text = written(document)
    kept = weights(module, report.unused, report.saved)
    imported = Imported(text, kept, report, checkpoint)
    if not prove_it:
        return imported
    read = list(document.originals.values())
    trial = Trial(given, sizes)
    proof = prove(
        module, text, kept, checkpoint, trial, read, report.unused, report.saved, looks=bool(report.looks)
    )
    if not proof.holds:
        raise _differs(proof)
    return Imported(text, kept, replace(report, proof=proof), checkpoint)


def _differs(proof: Proof) -> SpecError:
    """Return what is said of a spec that is not its module: where it first has another value, if it has one."""
    message, first = f"the spec is not the module: {proof.differences[0]}", proof.first
    if first is None:
        return refuse_at(None, "import-differs", message)
    source = span_of(first.source)
    return refuse(
        "import-differs",
        message,
        first.statement,
        label="this value is the first that the module never has",
        labels=(Label(source, "what the module does there"),) if source is not None else (),
        notes=(f"in the layer `{first.path}`",) if first.path else (),
    )


def described(
    module: nn.Module,
    skeleton: Skeleton,
    inputs: Sequence[Input],
    sizes: Mapping[str, int],
    name: str | None,
    checkpoint: str,
) -> tuple[Document, Report]:
    """Return the document of a module, and what was found out about it."""
    programs, run = recorded(skeleton, {each.name: each.made(sizes) for each in inputs})
    generaliser = Generaliser(run, programs, held_tensors(module))
    model = generaliser.model()
    unused = _unused(skeleton, generaliser)
    read = list(programs[run.root].inputs) if run.root in programs else [each.name for each in inputs]
    held = dtypes(module)
    types = {each.name: each.type_text(held.get("/", torch.float32)) for each in inputs}
    names = dict(zip(model.inputs or read, read, strict=True))
    kept = any(not key.startswith(unused or ("/",)) for key in skeleton.root.state_dict())
    stopped = [*frozen(module), *stays_in_evaluation(skeleton.root)]
    document = Document(
        name=name or class_name(type(module)),
        inputs={ours: types[theirs] for ours, theirs in names.items()},
        dims=sizes,
        blocks=list(generaliser.blocks.values()),
        model=model,
        share=_shared(module, unused),
        freeze=[each for each in stopped if not each[1:].startswith(unused or ("/",))],
        dtypes={key: each for key, each in held.items() if not key[1:].startswith(unused or ("/",))},
        parametrize={
            name: each for name, each in parametrized(module) if not name[1:].startswith(unused or ("/",))
        },
        checkpoint=checkpoint if kept or generaliser.saved else None,
        originals=names,
        requires=[each.name for each in kept_plugins()],
    )
    return document, Report(None, unused, tuple(generaliser.saved), tuple(map(str, run.looks)))


def _shared(module: nn.Module, unused: tuple[str, ...]) -> dict[str, list[str]]:
    """Return what is one under several names, of what is used."""
    left_out = tuple(f"/{name}" for name in unused) or ("//",)
    groups = {
        key: [each for each in names if not f"{each}.".startswith(left_out)]
        for key, names in ties(module).items()
    }
    return {key: names for key, names in groups.items() if len(names) > 1}


def _unused(skeleton: Skeleton, generaliser: Generaliser) -> tuple[str, ...]:
    """Return the outermost modules that nothing uses, each with a dot; what a layer is made of is the layer's own."""
    named = [(each, name) for each, names in skeleton.modules.items() for name in names if name]
    layers = tuple(f"{name}." for each, name in named if generaliser.record.is_layer(each))
    idle = generaliser.record.idle
    unused = [name for each, name in named if each not in generaliser.used and each not in idle]
    unused = [name for name in unused if not name.startswith(layers)]
    inside = tuple(f"{name}." for name in unused)
    return tuple(f"{name}." for name in unused if not name.startswith(inside))
