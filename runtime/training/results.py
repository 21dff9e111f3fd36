"""Results of metrics as plain values."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def plain(value: Any) -> Any:
    """Return the value of a metric that is not a single number as plain numbers."""
    match value:
        case Tensor():
            return value.tolist()
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return value
