"""`load-plan`: what a spec's checkpoints would do to its parameters, without reading a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console

from compiler.cli.console import out, say, status, table
from compiler.cli.options import ImportPaths, OutputFormat, Plugins, Preset, Settings, Spec
from compiler.cli.outcome import Format
from compiler.cli.subject import Subject
from spec_schema.shown import shown

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from compiler.checkpoint_mapping.plan import LoadPlan, RuleLoads
    from compiler.checkpoint_mapping.report import Line


def load_plan(
    spec: Spec,
    set_: Settings = None,
    preset: Preset = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    format: OutputFormat = Format.text,
) -> None:
    """Show what the checkpoints of a spec become: every tensor of the files and of the model.

    The headers of the files are read, and no values; nothing is built. Whatever does not fit is said at once.
    """
    from compiler.checkpoint_mapping.report import as_json, lines
    from runtime.checkpoint_mapping.loading import load_plan as planned

    subject = Subject(spec, set_, preset, plugin, import_path)
    artifact = subject.artifact()
    with status("reading headers"):
        plan = planned(artifact, subject.folder)
    match format:
        case Format.json:
            print(json.dumps(as_json(plan), indent=2))
        case Format.short:
            for rule in plan.rules:
                for line in lines(rule):
                    say(short(line))
        case Format.text:
            print_plan(out(), plan, artifact)


def short(line: Line) -> str:
    """Return a line of the plan as one text."""
    steps = ", ".join(line.steps)
    if line.target is None:
        return f"{line.source.name}: {steps}"
    return f"{line.source.name} -> {line.target}{f': {steps}' if steps else ''}"


def print_plan(console: Console, plan: LoadPlan, artifact: Artifact) -> None:
    """Print a table for each rule, and how many tensors there are."""
    if not plan.rules:
        console.print("no rule of this spec reads a checkpoint", soft_wrap=True)
        return
    for rule in plan.rules:
        place = rule.surgery.place
        into = f" into {rule.scope.removesuffix('.')}" if rule.scope else ""
        console.print(shown(f"{rule.surgery.path}{into}, {place.where}"), style="bold")
        console.print()
        print_rule(console, rule)
        console.print()
    loaded = {name for rule in plan.rules for name in rule.loads}
    others = len(artifact.plan.rows) - len(loaded)
    rest = f"; {others:,} have other first values" if others else ""
    console.print(
        f"{len(loaded):,} of the {len(artifact.plan.rows):,} tensors of the model are loaded{rest}",
        soft_wrap=True,
    )


def print_rule(console: Console, rule: RuleLoads) -> None:
    """Print what becomes of each tensor that a rule takes or skips."""
    from compiler.checkpoint_mapping.report import lines, title

    found = list(lines(rule))
    dtypes = sorted({title(line.source.dtype) for line in found})
    form = "shape" if len(dtypes) == 1 else "tensor"
    listing = table("tensor of the file", form, "becomes", "of the model", spare=(form, "becomes"))
    for line in found:
        form = str(list(line.source.shape))
        form = form if len(dtypes) == 1 else f"{title(line.source.dtype)}{form}"
        listing.add_row(line.source.name, form, ", ".join(line.steps), _target(line))
    console.print(listing)
    of = f" of {dtypes[0]}" if len(dtypes) == 1 else ""
    taken = len({line.source.name for line in found if line.target is not None})
    console.print(f"\n{taken:,} tensors{of} are taken, {len(rule.skipped):,} skipped", soft_wrap=True)


def _target(line: Line) -> str:
    """Return the tensor of the model that a line leads to, with its other names."""
    if line.target is None or line.row is None:
        return ""
    return " = ".join([line.target, *(name for name in line.row.names if name != line.target)])
