"""The hints for all layers of torch that need some.

A layer that is not named needs none: most activations and dropouts take all that is tried.
"""

from __future__ import annotations

from compiler.catalogue.hints import Hints
from runtime.testing.torch_layers.norms import NORMALISATION
from runtime.testing.torch_layers.others import OTHERS, TABLES
from runtime.testing.torch_layers.sequences import ATTENTION, RECURRENCE
from runtime.testing.torch_layers.spatial import CONVOLUTION, PADDING, POOLING

HINTS: dict[str, Hints] = {
    **CONVOLUTION,
    **PADDING,
    **POOLING,
    **NORMALISATION,
    **RECURRENCE,
    **ATTENTION,
    **TABLES,
    **OTHERS,
}
