"""The functions of torch that are written out for ONNX, whose exporter knows them in some forms alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.nn import functional as F

from runtime.exporting import pooling
from runtime.exporting.attention import attention

WRITTEN_OUT: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.scaled_dot_product_attention: attention,
    F.adaptive_avg_pool1d: pooling.adaptive_avg_pool1d,
    F.adaptive_avg_pool2d: pooling.adaptive_avg_pool2d,
}
