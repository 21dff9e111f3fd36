"""Which modules are layers of the catalogue, and which arguments made one."""

from __future__ import annotations

from torch import nn

from compiler.catalogue.layers import LayerType, layer_names, layer_type

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def catalogue_layer(cls: type) -> LayerType | None:
    """Return the layer of the catalogue that a class is."""
    name = cls.__name__
    if name not in layer_names() or getattr(nn, name, None) is not cls:
        return None
    return layer_type(name)


def is_leaf(module: nn.Module) -> bool:
    """Return whether a module is exactly a layer of the catalogue, with nothing added to it."""
    added = any(getattr(module, name) for name in _HOOKS) or "forward" in vars(module)
    return not added and catalogue_layer(type(module)) is not None


def base_layer(module: nn.Module) -> type[nn.Module] | None:
    """Return the layer of the catalogue that the class of a module extends."""
    if catalogue_layer(type(module)) is not None:
        return None
    return next((cls for cls in type(module).__mro__[1:] if catalogue_layer(cls) is not None), None)
