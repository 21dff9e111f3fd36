"""The model's default dtype, which `float[...]` follows: what placement says of the whole model."""

from __future__ import annotations

import torch

from compiler.infer.own_tensors import dtype_of
from compiler.program import ResolvedProgram
from spec_schema.diagnostics import refuse


def default_dtype(program: ResolvedProgram) -> torch.dtype:
    """Return the dtype that a placement rule for `/` names; float32 if none does.

    Raises:
        SpecError: a rule gives a dtype to a part of the model.
    """
    dtype = torch.float32
    for rule in program.model.rules.placement:
        if rule.dtype is None:
            continue
        if not (rule.selector.anchored and not rule.selector.components):
            raise refuse(
                "partial-dtype",
                "a dtype is given to a part of the model",
                rule.dtype_span,
                help="give the whole model one: `- /: {dtype: bfloat16}`",
            )
        dtype = dtype_of(rule.dtype)
    return dtype
