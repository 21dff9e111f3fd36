"""Products of groups: without values torch makes them of bfloat16 alone, and with values of other dtypes too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

GROUPED = frozenset({torch._grouped_mm})
"""What `grouped_mm` calls."""
TAKEN = frozenset({torch.float16, torch.float32})
"""The other dtypes that it multiplies in."""


def in_bfloat16(function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Call such a function without values over bfloat16, and give the result the dtype that it has with values."""
    dtypes = {value.dtype for value in arguments[:2] if isinstance(value, Tensor)}
    if len(dtypes) != 1 or not dtypes <= TAKEN:
        return function(*arguments, **keywords)
    (dtype,) = dtypes
    low = [value.to(torch.bfloat16) if isinstance(value, Tensor) else value for value in arguments[:2]]
    result = function(*low, *arguments[2:], **{**keywords, "out_dtype": None})
    return result.to(keywords.get("out_dtype") or dtype)
