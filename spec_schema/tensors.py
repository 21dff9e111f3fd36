"""The grammar of tensors, `float32[batch, 3, 224, 224]`: the same for inputs, parameters and buffers."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from spec_schema.diagnostics import refuse
from spec_schema.grammar import Expression, parse_expression
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

FLOATS = ("float", "float32", "float64", "float16", "bfloat16")
TRAINABLE = (*FLOATS, "complex64", "complex128")
"""The dtypes that have a gradient."""
DTYPES = (
    *TRAINABLE,
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)
"""`float` is the model's default dtype."""

_SCALAR = re.compile(r"\s*([A-Za-z_]\w*)\s*(\[\s*\])?\s*\Z")


@dataclass(frozen=True, eq=False)
class TensorType:
    """A dtype and the dimensions of a tensor, each an expression over sizes."""

    dtype: str
    dimensions: tuple[Expression, ...]
    span: Span

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.dimensions))}]"


def parse_tensor(scalar: Scalar, limits: Limits = DEFAULT_LIMITS) -> TensorType:
    """Read a scalar's text as a tensor type.

    Raises:
        SpecError: the text has another form, an unknown dtype, or more dimensions than the limit.
    """
    bare = _SCALAR.match(scalar.text)
    if bare:
        start = scalar.text.index(bare[1])
        return TensorType(_dtype(bare[1], scalar.locate(start, start + len(bare[1]))), (), scalar.span)
    expression = parse_expression(scalar, limits=limits)
    tree = expression.tree
    if not (isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name)):
        raise refuse(
            "not-a-tensor",
            "this is not a tensor type",
            scalar.span,
            help="write a dtype and the dimensions: `float[batch, 20]`",
        )
    dtype = _dtype(tree.value.id, expression.span(tree.value))
    parts = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    if len(parts) > limits.rank:
        raise refuse(
            "rank-limit",
            f"a tensor of {len(parts)} dimensions",
            scalar.span,
            notes=(f"the limit is {limits.rank}",),
        )
    for part in parts:
        if isinstance(part, ast.Slice | ast.Starred) or (
            isinstance(part, ast.Constant) and part.value is Ellipsis
        ):
            raise refuse("not-a-tensor", "a dimension is a size or a name", expression.span(part))
    return TensorType(dtype, tuple(expression.part(part) for part in parts), scalar.span)


def _dtype(name: str, span: Span) -> str:
    if name in DTYPES:
        return name
    near = did_you_mean(name, DTYPES)
    raise refuse(
        "unknown-dtype",
        f"there is no dtype `{name}`",
        span,
        notes=() if near else (f"dtypes: {', '.join(DTYPES)}",),
        help=f"did you mean `{near}`?" if near else None,
    )
