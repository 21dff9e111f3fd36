"""A model as a program of `torch.export`, which loads without its source, and was loaded before it is put in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from compiler.rules.plan import Plan
from runtime.exporting.agreement import Agreement, agreement
from runtime.exporting.capture import captured, quietly
from runtime.exporting.dimensions import Trial
from runtime.exporting.first import prepared
from runtime.exporting.problems import failed
from runtime.exporting.recurrent import as_of_torch


def make_pt2(model: nn.Module, staged: Path, fixed: Mapping[str, int]) -> Agreement:
    """Write the file aside, and run it beside the model; see `runtime.export_pt2`."""
    dimensions, trial = prepared(model, fixed)
    artifact = dimensions.artifact
    program = captured(model, dimensions, trial)
    as_of_torch(program)
    join_ties(program, artifact.plan)
    with quietly():
        try:
            torch.export.save(program, staged)
        except Exception as error:  # torch raises whatever it does
            raise failed(artifact, "torch.export cannot save this", error) from error
        loaded = torch.export.load(staged).module()

        def run(given: Trial) -> Mapping[str, Tensor]:
            with torch.no_grad():
                outputs = [each for each in tree_leaves(loaded(*given.inputs)) if isinstance(each, Tensor)]
            return {f"output {number}": each for number, each in enumerate(outputs)}

        return agreement(run, model, dimensions, trial)


def join_ties(program: ExportedProgram, plan: Plan) -> None:
    """Let a tied tensor be one parameter of the program, under the name that it is saved by.

    A program has a tensor under each of its names, and loading it makes a parameter of each, of which the graph reads
    one: what is loaded into the others, or trained, changes nothing.
    """
    for row in plan.rows:
        others = {*row.names} - {row.name}
        for each in program.graph_signature.input_specs if others else ():
            if each.target in others:
                each.target = row.name
        for name in others & program.state_dict.keys():
            program.state_dict.setdefault(row.name, program.state_dict[name])
            del program.state_dict[name]
