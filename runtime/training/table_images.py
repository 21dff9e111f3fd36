"""Tables with columns of images, as datasets writes them: each cell holds the bytes of a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtime.training.columns import BYTES, column_values, has_images
from runtime.training.images import decoded
from runtime.training.places import Named
from runtime.training.tables import LargeTable


class TableImages:
    """A table as a map-style data set, whose images are decoded when they are asked for."""

    def __init__(self, table: LargeTable, named: Named, limit: int) -> None:
        self.table, self.named, self.limit = table, named, limit
        self.shuffled = table.shuffled

    def __len__(self) -> int:
        return len(self.table)

    def item(self, index: int, wanted: Sequence[str]) -> dict[str, Any]:
        """Return what is wanted of a row."""
        found = self.table.take(torch.tensor([index]), wanted)
        return {name: self._value(column, name, index) for name, column in found.items()}

    def _value(self, column: Any, name: str, row: int) -> Any:
        if not has_images(column.type):
            return column_values(column, name, self.named.span, row)[0]
        cell = column[0].as_py()
        image = Named(f"{self.named.path}, row {row} of {name}", self.named.span)
        if not cell or not cell.get(BYTES):
            raise image.broken("holds no image, only where one was")
        return decoded(io.BytesIO(cell[BYTES]), image, self.limit)

    def values(self, name: str) -> np.ndarray[Any, Any] | Tensor:
        """Return a column as a whole."""
        column = self.table.take(torch.arange(len(self)), [name])[name]
        return column_values(column, name, self.named.span)
