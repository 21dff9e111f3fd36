"""Hints for the layers of torch: what their signatures do not say, and what they do not promise.

A layer that is not named needs none: most activations and dropouts take all that is tried.
"""

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
