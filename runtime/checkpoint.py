"""Values from a safetensors file of somebody else."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from compiler.plan import PlanRow
from spec_schema.diagnostics import refuse
from spec_schema.grammar import Expression
from spec_schema.suggest import did_you_mean


def read_tensor(path: Path, key: str, row: PlanRow, rule: Expression) -> Tensor:
    """Return one tensor of a file.

    Raises:
        SpecError: the file is not there or no safetensors file, or has no such tensor of the right shape.
    """
    shown = os.path.normpath(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if key not in names:
                near = did_you_mean(key, names)
                raise refuse(
                    "checkpoint-tensor",
                    f"`{shown}` has no tensor `{key}`",
                    rule.place,
                    notes=(f"for `{row.name}`",),
                    help=f"did you mean `{near}`? a `prefix` stands before the name of the parameter"
                    if near
                    else "give a `prefix`, or narrow the selector",
                )
            tensor: Tensor = file.get_tensor(key).clone()  # aligned as torch's own memory is
    except FileNotFoundError:
        raise refuse(
            "checkpoint-missing",
            f"there is no file `{shown}`",
            rule.place,
            notes=("a checkpoint's path is relative to the spec",),
        ) from None
    except SafetensorError as error:
        raise refuse(
            "checkpoint-broken",
            f"`{shown}` is no safetensors file",
            rule.place,
            notes=(str(error)[:1].lower() + str(error)[1:],),
            help="write it with `safetensors.torch.save_file`",
        ) from None
    if tuple(tensor.shape) != row.shape:
        raise refuse(
            "checkpoint-tensor",
            f"`{key}` in `{shown}` has the shape {list(tensor.shape)}",
            rule.place,
            notes=(f"`{row.name}` has the shape {list(row.shape)}",),
        )
    return tensor
