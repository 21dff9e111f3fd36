"""Arrays that stay in their file: `.npy` and safetensors, mapped into memory, and read row by row when asked.

Such a file may be larger than memory. Its header is held against its size before anything else of it is looked at.
"""

from __future__ import annotations

import io
import math
import mmap

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from runtime.files.header import LONGEST, read_header
from runtime.training.arrays import check_header


def mapped_npy(memory: mmap.mmap) -> Tensor:
    """Return the array of a `.npy` file.

    Raises:
        ValueError: it is none, is of objects, or in an order or dtype that no tensor has.
    """
    stream = io.BytesIO(memory[: npy.MAGIC_LEN + 4 + LONGEST_NPY])
    shape, fortran, dtype = check_header(stream, len(memory))
    try:
        kind = torch.from_numpy(np.empty(0, dtype)).dtype
    except TypeError:
        raise ValueError(f"its array is {dtype}, which no tensor holds") from None
    tensor = _tensor(memory, kind, math.prod(shape), stream.tell())
    return tensor.reshape(shape[::-1]).permute(*range(len(shape))[::-1]) if fortran else tensor.reshape(shape)


LONGEST_NPY = 10_000
"""Characters of the header of an array."""


def mapped_safetensors(memory: mmap.mmap) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        ValueError: the header is not exactly as it must be.
    """
    length = int.from_bytes(memory[:8], "little")
    if len(memory) < 8 or length > min(LONGEST, len(memory) - 8):
        raise ValueError("it is cut off, or something else")
    begin = 8 + length
    _, entries = read_header(memory[8:begin], len(memory) - begin)
    return {
        each.name: _tensor(memory, each.dtype, math.prod(each.shape), begin + each.start).reshape(each.shape)
        for each in entries
    }


def _tensor(memory: mmap.mmap, dtype: torch.dtype, count: int, offset: int) -> Tensor:
    if not count:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
