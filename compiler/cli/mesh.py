"""`mesh`: what a model needs on each of its ranks, and whether it runs there, without any of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compiler.cli.console import facts, out, say, status, table
from compiler.cli.options import ImportPaths, OutputFormat, Plugins, Preset, Settings, Spec
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.subject import Subject
from compiler.cli.summary import memory_text

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from compiler.mesh.plan import MeshPlan
    from runtime.mesh.rehearsal import Rehearsal

VALUES = 2
"""Values that an optimizer such as AdamW keeps for each parameter."""

Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--mesh",
        metavar="AXIS=N",
        show_default=False,
        help="Other numbers of ranks than the spec's: dp=8,tp=8.",
    ),
]


def mesh(
    spec: Spec,
    sizes: Sizes = None,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    format: OutputFormat = Format.text,
) -> None:
    """Show what a model needs on each rank of its mesh, and rehearse a step there.

    The ranks need not be there: the step runs in this process, over tensors without memory. What is held, kept for the
    backward and sent is that of the first rank, which has the most.
    """
    artifact = Subject(spec, set_, preset, plugin, import_path).artifact()
    plan = artifact.mesh_of(read_sizes(sizes))
    if plan is None:
        raise UsageProblem(f"`{spec}` has no section `mesh`", "write one: `mesh: {axes: {dp: 2}, shard: dp}`")
    with status("rehearsing a step"):
        from runtime.mesh.rehearsal import rehearse

        found = rehearse(artifact, plan)
    match format:
        case Format.json:
            print(json.dumps(as_json(artifact, plan, found), indent=2))
        case Format.short:
            say(f"{artifact.name}: {_ranks(plan)}, {memory_text(_memory(found))} on each")
        case Format.text:
            _print(artifact, plan, found)


def read_sizes(given: Sequence[str] | None) -> dict[str, int]:
    """Return the sizes of axes that options such as `dp=8,tp=8` name.

    Raises:
        UsageProblem: an option names no size.
    """
    found: dict[str, int] = {}
    for entry in [part.strip() for text in given or () for part in text.split(",")]:
        name, equals, size = (part.strip() for part in entry.partition("="))
        if not (name.isidentifier() and equals and size.isascii() and size.isdigit() and len(size) < 10):
            raise UsageProblem(f"`--mesh {entry}` names no size of an axis", "write `--mesh dp=8,tp=8`")
        found[name] = int(size)
    return found


def _ranks(plan: MeshPlan) -> str:
    axes = " × ".join(f"{name} {size}" for name, size in plan.axes.items())
    return f"{plan.size} rank{'' if plan.size == 1 else 's'}, {axes}"


def _memory(found: Rehearsal) -> int:
    return found.parameters + (1 + VALUES) * found.trained + found.buffers + found.activations


def _print(artifact: Artifact, plan: MeshPlan, found: Rehearsal) -> None:
    console = out()
    console.print(f"{_ranks(plan)}; on each rank:")
    console.print(facts(_facts(artifact, found)))
    if found.messages:
        console.print()
        rows = table(
            "sent in a step", "times", "bytes", numbers=("times", "bytes"), whole=("sent in a step",)
        )
        for kind, messages in found.messages.items():
            rows.add_row(kind, f"{messages.count:,}", memory_text(messages.bytes))
        console.print(rows)
    if found.unsure is not None:
        path, why = found.unsure.path, found.unsure.message
        what = f"`{path}` treats columns one by one" if path else "the step runs to its end"
        console.print(f"\nnot verified: whether {what} ({why})", soft_wrap=True)


def _facts(artifact: Artifact, found: Rehearsal) -> Iterator[tuple[str, str]]:
    whole = sum(row.bytes for row in artifact.plan.parameters)
    yield "parameters", f"{memory_text(found.parameters)} of {memory_text(whole)}"
    yield "gradients", memory_text(found.trained)
    yield "optimizer", f"{memory_text(VALUES * found.trained)} for two values each, as AdamW has"
    if found.buffers:
        yield "buffers", memory_text(found.buffers)
    inputs = ", ".join(f"{each.name}: {each.type}" for each in artifact.program.inputs)
    sizes = ", ".join(f"{name} {size}" for name, size in artifact.program.sizes.items())
    yield "activations", f"{memory_text(found.activations)} of {inputs}{f' at {sizes}' if sizes else ''}"
    yield "together", memory_text(_memory(found))


def as_json(artifact: Artifact, plan: MeshPlan, found: Rehearsal) -> dict[str, Any]:
    """Return a rehearsal as plain values."""
    return {
        "name": artifact.name,
        "axes": dict(plan.axes),
        "ranks": plan.size,
        "parameters": found.parameters,
        "gradients": found.trained,
        "optimizer": VALUES * found.trained,
        "buffers": found.buffers,
        "activations": found.activations,
        "messages": {
            kind: {"count": each.count, "bytes": each.bytes} for kind, each in found.messages.items()
        },
        "unsure": found.unsure.path if found.unsure is not None else None,
    }
