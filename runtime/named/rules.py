"""Which sizes of a result are which of the arguments: a rule for each function that names can be carried through.

A rule is given the result and the arguments, and returns the sizes of the result, or of each tensor of it. Where what
torch does is more than a rule says, it refuses. `tests/runtime/test_named_dimensions.py` holds rules against torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.named import chosen, layers, shapes

Rule = Callable[..., Any]


def _functions(names: str) -> list[Callable[..., Any]]:
    """Return all that torch has by these names: functions, those of layers, and methods."""
    found = [getattr(place, name, None) for name in names.split() for place in (torch, F, Tensor)]
    return [each for each in found if callable(each)]


def _rules() -> Mapping[Callable[..., Any], Rule]:
    found: dict[Callable[..., Any], Rule] = {}
    for rule, names in NAMES.items():
        for each in _functions(names):
            found[each] = rule
    return found


NAMES: Mapping[Rule, str] = {
    layers.as_input: """
        abs ceil cos cumprod cumsum dropout dropout1d dropout2d dropout3d elu erf exp flip floor gelu group_norm
        hardsigmoid hardswish hardtanh layer_norm leaky_relu log log1p log_softmax logsigmoid mish neg normalize
        batch_norm reciprocal relu relu6 relu_ rms_norm roll round rsqrt selu sigmoid silu sin softmax softplus
        sqrt square tanh tril triu bernoulli bernoulli_ logical_not bitwise_not log2 log10 sign softsign
    """,
    layers.like: """
        contiguous clone detach to type type_as bool float double half bfloat16 int long zeros_like ones_like
        full_like rand_like randn_like
    """,
    layers.broadcasted: """
        add sub mul div true_divide subtract multiply divide rsub pow maximum minimum where eq ne lt le gt ge
        clamp clamp_min clamp_max logical_and logical_or logical_xor bitwise_and bitwise_or floor_divide remainder
        masked_fill lerp addcmul atan2 __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __or__ __invert__
        __rsub__ __rpow__ __pow__ __rdiv__ __rtruediv__ __radd__ __rmul__ __xor__ add_ mul_ sub_ div_
    """,
    layers.linear: "linear",
    layers.embedding: "embedding",
    layers.batched: """
        max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
        adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d pixel_shuffle
    """,
    layers.convolution: "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    layers.matmul: "matmul bmm __matmul__",
    layers.attention: "scaled_dot_product_attention",
    layers.outer: "outer",
    layers.einsum: "einsum",
    shapes.reduced: "sum mean amax amin argmax argmin all any logsumexp max min prod",
    shapes.each_alike: "sort",
    shapes.split: "split",
    shapes.chunk: "chunk",
    shapes.topk: "topk",
    shapes.narrow: "narrow",
    shapes.without: "select unbind",
    shapes.unsqueezed: "unsqueeze",
    shapes.squeezed: "squeeze",
    shapes.permuted: "permute",
    shapes.transposed: "transpose swapaxes swapdims",
    shapes.turned: "t",
    shapes.flattened: "flatten",
    shapes.unflattened: "unflatten",
    shapes.reshaped: "reshape view",
    shapes.expanded: "expand broadcast_to",
    shapes.expanded_as: "expand_as",
    shapes.repeated: "repeat",
    shapes.concatenated: "cat concat concatenate",
    shapes.stacked: "stack",
    chosen.indexed: "__getitem__",
    chosen.gathered: "gather",
    chosen.scattered: "scatter scatter_add",
    chosen.made: "zeros ones empty rand randn",
    chosen.made_full: "full",
    chosen.made_by: "new_zeros new_ones new_empty",
    chosen.counted: "arange",
}
RULES = _rules()
