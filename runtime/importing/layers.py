"""From a live layer of the catalogue, or one that stays Python, to the call that makes such a one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from torch import nn

from compiler.catalogue.layers import REQUIRED, CannotInfer, LayerType, infer, positional
from compiler.catalogue.layers import Argument as Declared
from runtime.importing.kept import given_arguments, refuse_unknown
from runtime.importing.leaves import base_layer, catalogue_layer, is_kept, kept_layer
from runtime.importing.nodes import Argument, ArgumentValue, LayerCall
from runtime.importing.sizes import plain

Shapes = Sequence[tuple[int, ...] | None]

_LEFT_OUT = frozenset({"inplace"})
"""A program is functional: where a layer works in place is seen in the programs around it."""


def _transformer_layer(module: Any) -> dict[str, Any]:
    activation = getattr(module.activation, "__name__", str(module.activation))
    return {
        "nhead": module.self_attn.num_heads,
        "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p,
        "activation": activation,
        "layer_norm_eps": module.norm1.eps,
        "batch_first": module.self_attn.batch_first,
        "norm_first": module.norm_first,
        "bias": module.linear1.bias is not None,
        "d_model": module.linear1.in_features,
    }


def _attention(module: Any) -> dict[str, Any]:
    size = module.embed_dim
    return {
        "bias": module.in_proj_bias is not None,
        "add_bias_kv": module.bias_k is not None,
        "kdim": None if module.kdim == size else module.kdim,
        "vdim": None if module.vdim == size else module.vdim,
    }


def _pool(module: Any) -> dict[str, Any]:
    return {"stride": None if module.stride == module.kernel_size else module.stride}


_READ: dict[type, Callable[[Any], dict[str, Any]]] = {
    nn.TransformerEncoderLayer: _transformer_layer,
    nn.TransformerDecoderLayer: _transformer_layer,
    nn.MultiheadAttention: _attention,
    nn.RNN: lambda module: {"nonlinearity": module.mode.removeprefix("RNN_").lower()},
    **dict.fromkeys(
        (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _pool
    ),
}
"""Layers that keep an argument under another name than its own."""


def layer_call(module: nn.Module, shapes: Shapes | None) -> LayerCall:
    """Return the call that makes such a layer. `shapes` are those of its inputs, None if it was never called."""
    if is_kept(module):
        return _kept_call(module, shapes)
    layer = catalogue_layer(type(module)) or catalogue_layer(base_layer(module) or object)
    assert layer is not None
    read = _READ.get(layer.cls, lambda _: {})(module)
    first = [each.name for each in positional(layer)]
    inferred = _inferred(layer, shapes)
    found = []
    for declared in layer.arguments:
        value = _value(module, declared, read)
        if declared.name in _LEFT_OUT or value is _UNKNOWN:
            continue
        if declared.deferred is not None:
            if simple(inferred.get(declared.name)) != value:
                found.append(Argument(declared.name, value))
        else:
            found.append(_argument(declared, value, first, declared is layer.arguments[0]))
    return LayerCall(layer.name, tuple(found))


def _kept_call(module: nn.Module, shapes: Shapes | None) -> LayerCall:
    """Return the call that makes a layer of Python: with what its constructor was given."""
    layer, given = kept_layer(module), given_arguments(module)
    first = [each.name for each in positional(layer)]
    inferred = _inferred(layer, shapes)
    found = []
    for declared in layer.arguments:
        if declared.name in given:
            value = given[declared.name]
            if declared.deferred is None or inferred.get(declared.name) != value:
                found.append(_argument(declared, value, first, declared is layer.arguments[0]))
        elif declared.default is REQUIRED and declared.name not in inferred:
            raise refuse_unknown(module, declared.name)
    return LayerCall(layer.name, tuple(found))


_UNKNOWN: Any = object()


def _inferred(layer: LayerType, shapes: Shapes | None) -> Mapping[str, Any]:
    if shapes is None:
        return {}
    try:
        return infer(layer, {}, [SimpleNamespace(shape=each) for each in shapes])
    except CannotInfer:
        return {}


def _value(module: nn.Module, declared: Declared, read: Mapping[str, Any]) -> Any:
    name = declared.name
    if name in read:
        return simple(read[name])
    if name == "bias":
        kept = getattr(module, "bias", None)
        if not getattr(module, "elementwise_affine", True):
            return declared.default
        return kept if isinstance(kept, bool) else kept is not None
    found = getattr(module, name, _UNKNOWN)
    if found is _UNKNOWN or isinstance(found, nn.Module | nn.Parameter):
        return _UNKNOWN if declared.default is REQUIRED else simple(declared.default)
    return simple(found)


def simple(value: Any) -> Any:
    """Return the value of an argument as a person writes it: a pair of equal numbers is one number."""
    if isinstance(value, tuple | list):
        items = tuple(simple(each) for each in value)
        return items[0] if items and all(each == items[0] for each in items) else items
    return plain(value)


def _argument(declared: Declared, value: ArgumentValue, first: Sequence[str], leads: bool) -> Argument:
    required = declared.default is REQUIRED
    is_first = declared.name in first and (required or (leads and _is_number(value)))
    default = REQUIRED if required else simple(declared.default)
    return Argument(declared.name, value, default, is_first)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
