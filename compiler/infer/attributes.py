"""What values have behind a dot: the attributes of tensors, and the parts of results that torch gives names."""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import Any

from torch import Tensor

from compiler.catalogue.operation_table import ATTRIBUTES, RESULTS
from compiler.infer.reasons import forms, refusal
from spec_schema.diagnostics import refuse
from spec_schema.grammar import Source


def attributes_of(value: object) -> Collection[str]:
    """Return the names of the attributes of a value that a program may read."""
    if isinstance(value, Tensor):
        return ATTRIBUTES
    is_result = type(value).__module__ == "torch.return_types"
    return [name for name in RESULTS if hasattr(type(value), name)] if is_result else ()


def read(source: Source, node: ast.Attribute, value: Any) -> Any:
    """Return an attribute of a value.

    Raises:
        SpecError: no such tensor has it, as `imag` of a real one.
    """
    try:
        result = getattr(value, node.attr)
    except RuntimeError as error:
        label = forms([ast.unparse(node.value)], [value])
        message = refusal(f"`{node.attr}`", error, [value])
        raise refuse("operation-failed", message, source.span(node), label=label) from None
    return tuple(result) if node.attr == "shape" else result
