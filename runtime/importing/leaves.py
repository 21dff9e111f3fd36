"""Which modules are layers of the catalogue, and which arguments made one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import nn

from compiler.catalogue.layers import LayerType, layer_names, layer_type
from compiler.catalogue.plugins import Plugin
from runtime.importing.spoken import spoken

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Kept:
    """The types of modules that stay layers of Python, with the plugin that has them."""

    plugin: Plugin | None = None
    types: frozenset[type[nn.Module]] = frozenset()


_kept: ContextVar[Kept] = ContextVar("_kept", default=Kept())  # noqa: B039


@contextmanager
def keeping(plugin: Plugin, types: Iterable[type[nn.Module]]) -> Iterator[None]:
    """Let modules of these types be layers of a plugin, whatever is in them."""
    token = _kept.set(Kept(plugin, frozenset(types)))
    try:
        yield
    finally:
        _kept.reset(token)


def kept_plugins() -> list[Plugin]:
    """Return the plugin of the modules that stay layers of Python, if there are any."""
    plugin = _kept.get().plugin
    return [] if plugin is None else [plugin]


def is_kept(module: nn.Module) -> bool:
    """Return whether a module stays a layer of Python."""
    return type(module) in _kept.get().types


def kept_layer(module: nn.Module) -> LayerType:
    """Return what such a module is as a layer of its plugin."""
    plugin = _kept.get().plugin
    assert plugin is not None
    return plugin.layers[type(module).__name__]


def inside_kept(root: nn.Module) -> tuple[str, ...]:
    """Return what the names begin with of all that is inside a layer of Python's: what it holds is its own."""
    return tuple(f"{name}." for name, each in root.named_modules(remove_duplicate=False) if is_kept(each))


def catalogue_layer(cls: type) -> LayerType | None:
    """Return the layer of the catalogue that a class is, its weights parametrised or not."""
    if cls.__module__ == "torch.nn.utils.parametrize" and cls.__name__.startswith("Parametrized"):
        cls = cls.__bases__[0]
    name = cls.__name__
    if name not in layer_names() or getattr(nn, name, None) is not cls:
        return None
    return layer_type(name)


def is_leaf(module: nn.Module) -> bool:
    """Return whether a module is just a layer, with nothing added to it but parametrisations, or stays Python."""
    if is_kept(module):
        return True
    added = any(getattr(module, name) for name in _HOOKS) or "forward" in vars(module)
    return not added and (catalogue_layer(type(module)) is not None or _only_makes_one(module))


_MAKING = frozenset(
    "__init__ __doc__ __module__ __qualname__ __annotations__ __firstlineno__ reset_parameters".split()
)


def _only_makes_one(module: nn.Module) -> bool:
    """Return whether the class of a module says how one makes a layer, and nothing of what that does."""
    base = base_layer(module)
    if base is None:
        return False
    own = type(module).__mro__[: type(module).__mro__.index(base)]
    says = {name for cls in own for name in vars(cls)} - {"__static_attributes__", "__parameters__"}
    return says <= _MAKING and holds_a_layer(module)


def base_layer(module: nn.Module) -> type[nn.Module] | None:
    """Return the layer of the catalogue that the class of a module extends."""
    if catalogue_layer(type(module)) is not None or is_kept(module):
        return None
    return next((cls for cls in type(module).__mro__[1:] if catalogue_layer(cls) is not None), None)


def holds_a_layer(module: nn.Module) -> bool:
    """Return whether a module has the tensors of the layer that it extends, and nothing else."""
    own = {name for name, each in (*module._parameters.items(), *module._buffers.items()) if each is not None}
    return base_layer(module) is not None and not module._modules and own <= tensors_of_base(module)


def is_container(module: nn.Module) -> bool:
    """Return whether a module is one of torch's containers, and no class of somebody's own."""
    return type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def is_sequence(module: nn.Module) -> bool:
    """Return whether a module runs its layers one after the other, as torch's sequence does."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def is_list(module: nn.Module) -> bool:
    """Return whether the layers of a module are items, reached by their numbers."""
    return is_sequence(module) or is_loop(module)


def is_loop(module: nn.Module) -> bool:
    """Return whether a module is a list with a way of its own to run it, which its holder's program can say."""
    own = any(each is not None for each in (*module._parameters.values(), *module._buffers.values()))
    is_row = isinstance(module, nn.Sequential | nn.ModuleList) and not is_sequence(module)
    return is_row and not own and not getattr(module, _BLOCK, False)


_BLOCK = "_is_block"


def mark_blocks(root: nn.Module) -> None:
    """Mark lists with a way of their own to run them that are blocks: those whose holder has no program to say it in.

    So are those that read better as one, of several kinds of layers or of one alone, and those of layers that others
    hold, too, or whose names no program can say.
    """
    held = {each for module in root.modules() if is_sequence(module) for each in module.children()}
    holders = Counter(each for module in root.modules() for each in module.children())
    for module in root.modules():
        children = list(module.children())
        runs = isinstance(module, nn.Sequential | nn.ModuleList) and "forward" in _own_names(type(module))
        is_row = len(children) > 1 and len({type(each) for each in children}) == 1
        is_own = all(holders[each] == 1 for each in children)
        is_said = all(name.isdigit() or spoken(name) == name for name in module._modules)
        if (
            runs
            and not is_sequence(module)
            and not (is_row and is_own and is_said and module not in held and module is not root)
        ):
            setattr(module, _BLOCK, True)


def _own_names(cls: type) -> set[str]:
    """Return what a class has that torch's containers have not."""
    return {name for each in cls.__mro__ if not each.__module__.startswith("torch.") for name in vars(each)}


def tensors_of_base(module: nn.Module) -> frozenset[str]:
    """Return the tensors of a module that the layer which it extends has."""
    if base_layer(module) is None:
        return frozenset()
    names = {
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
        "in_proj_weight",
        "in_proj_bias",
    }
    return frozenset(names | {name for name in module._parameters if name.startswith(("weight_", "bias_"))})


def does_nothing(module: nn.Module) -> bool:
    """Return whether a layer returns what it gets, in training too."""
    return type(module) is nn.Identity or (
        isinstance(module, nn.modules.dropout._DropoutNd) and module.p == 0
    )


def idle_layers(root: nn.Module) -> frozenset[nn.Module]:
    """Return the layers that do nothing in any instance of the classes that hold them, and so are left out."""
    places: dict[tuple[type, str], list[nn.Module | None]] = {}
    for module in root.modules():
        for name, child in () if is_list(module) else module._modules.items():
            places.setdefault((type(module), name), []).append(child)
    found: set[nn.Module] = set()
    for (cls, _), children in places.items():
        idle = [each for each in children if each is not None and does_nothing(each)]
        if len(idle) == len(children) and not cls.__module__.startswith("torch.nn."):
            found.update(idle)
    return frozenset(found)
