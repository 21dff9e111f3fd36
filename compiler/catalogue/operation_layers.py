"""The layers of torch that do what an operation does: in a layer position, a programmer writes the layer.

A row has the operation, its layer, the arguments that both take first and in this order, and those that both take by
keyword alone. `name:other` is an argument that the layer has another name for, and `name=value` one whose default the
layer does not share. A call with any other argument has no such layer.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

_ACTIVATIONS = """
    hardsigmoid:Hardsigmoid hardswish:Hardswish logsigmoid:LogSigmoid mish:Mish relu:ReLU relu6:ReLU6 selu:SELU
    sigmoid:Sigmoid silu:SiLU softsign:Softsign tanh:Tanh tanhshrink:Tanhshrink
"""

_ROWS = """
    celu CELU alpha
    elu ELU alpha
    gelu GELU | approximate
    glu GLU dim
    hardshrink Hardshrink lambd
    hardtanh Hardtanh min_val max_val
    leaky_relu LeakyReLU negative_slope
    log_softmax LogSoftmax dim
    softmax Softmax dim
    softmin Softmin dim
    softplus Softplus beta threshold
    softshrink Softshrink lambd
    alpha_dropout AlphaDropout p
    dropout Dropout p
    dropout1d Dropout1d p
    dropout2d Dropout2d p
    dropout3d Dropout3d p
    feature_alpha_dropout FeatureAlphaDropout p
    flatten Flatten start_dim=0 end_dim
    unflatten Unflatten dim sizes:unflattened_size
    adaptive_avg_pool1d AdaptiveAvgPool1d output_size
    adaptive_avg_pool2d AdaptiveAvgPool2d output_size
    adaptive_avg_pool3d AdaptiveAvgPool3d output_size
    adaptive_max_pool1d AdaptiveMaxPool1d output_size
    adaptive_max_pool2d AdaptiveMaxPool2d output_size
    adaptive_max_pool3d AdaptiveMaxPool3d output_size
    avg_pool1d AvgPool1d kernel_size stride padding ceil_mode count_include_pad
    avg_pool2d AvgPool2d kernel_size stride padding ceil_mode count_include_pad divisor_override
    avg_pool3d AvgPool3d kernel_size stride padding ceil_mode count_include_pad divisor_override
    max_pool1d MaxPool1d kernel_size stride padding dilation | ceil_mode
    max_pool2d MaxPool2d kernel_size stride padding dilation | ceil_mode
    max_pool3d MaxPool3d kernel_size stride padding dilation | ceil_mode
    channel_shuffle ChannelShuffle groups
    pixel_shuffle PixelShuffle upscale_factor
    pixel_unshuffle PixelUnshuffle downscale_factor
"""


@dataclass(frozen=True)
class Twin:
    """A layer of torch, and how it takes the arguments of an operation."""

    layer: str
    positional: tuple[str, ...] = ()
    """The arguments of the operation behind its tensor."""
    keywords: tuple[str, ...] = ()
    """Those that are given by name alone."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the layer calls an argument otherwise."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """The defaults of the operation that the layer does not share."""

    def takes(self, positional: int, keywords: Collection[str]) -> bool:
        """Return whether the layer takes what a call gives the operation behind its tensor."""
        known = {*self.positional[positional:], *self.keywords}
        return positional <= len(self.positional) and set(keywords) <= known

    def missing(self, positional: int, keywords: Collection[str]) -> Mapping[str, object]:
        """Return the arguments that a call leaves out, and that the layer has to be given."""
        given = {*self.positional[:positional], *keywords}
        return {name: value for name, value in self.defaults.items() if name not in given}


def _twin(layer: str, arguments: str) -> Twin:
    positional, _, keywords = arguments.partition("|")
    names: dict[str, str] = {}
    defaults: dict[str, object] = {}
    titles: list[str] = []
    for argument in positional.split():
        name, _, default = argument.partition("=")
        name, _, other = name.partition(":")
        titles.append(name)
        if other:
            names[name] = other
        if default:
            defaults[name] = ast.literal_eval(default)
    return Twin(layer, tuple(titles), tuple(keywords.split()), names, defaults)


def _table() -> dict[str, Twin]:
    plain = (entry.split(":") for entry in _ACTIVATIONS.split())
    rows = (row.split(maxsplit=2) for row in _ROWS.strip().splitlines())
    return {name: Twin(layer) for name, layer in plain} | {
        operation: _twin(layer, arguments) for operation, layer, arguments in rows
    }


TWINS: Mapping[str, Twin] = _table()
"""The layer of each operation that has one."""
