"""Tensors as small pictures inside a page."""

from __future__ import annotations

import base64
import struct
import zlib

import torch
from torch import Tensor
from torch.nn.functional import interpolate

LARGEST = 112
"""Pixels of a picture along its longer side."""
SMALLEST = 4
GREY, COLOUR = 0, 2
"""The kinds of pixels of a PNG file."""
COLOURS = {1: GREY, 3: COLOUR}
"""By the number of channels."""


def is_picture(tensor: Tensor) -> bool:
    """Return whether an item looks like an image: [1, height, width] or [3, height, width]."""
    return tensor.ndim == 3 and len(tensor) in COLOURS and min(tensor.shape[1:]) >= SMALLEST


def data_uri(image: Tensor) -> str:
    """Return an image as a PNG file in a URI. What is no uint8 is scaled to its own smallest and largest value."""
    return f"data:image/png;base64,{base64.b64encode(png(_pixels(image))).decode('ascii')}"


def _pixels(image: Tensor) -> Tensor:
    real = image.abs() if image.is_complex() else image
    values = torch.nan_to_num(real.float(), posinf=0.0, neginf=0.0)
    if max(values.shape[1:]) > LARGEST:
        scale = LARGEST / max(values.shape[1:])
        size = [max(round(length * scale), 1) for length in values.shape[1:]]
        values = interpolate(values[None], size=size, mode="area")[0]
    if image.dtype != torch.uint8:
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp(min=1e-12) * 255
    return values.round().to(torch.uint8)


def png(pixels: Tensor) -> bytes:
    """Return uint8[1 or 3, height, width] as a PNG file. Pillow, which does this too, is an extra of its own."""
    channels, height, width = pixels.shape
    rows = pixels.permute(1, 2, 0).contiguous().numpy()
    data = b"".join(b"\0" + row.tobytes() for row in rows)  # each row unfiltered
    header = struct.pack(">IIBBBBB", width, height, 8, COLOURS[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
