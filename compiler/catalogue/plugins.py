"""Layers, operations, initialisers, data sets and parametrisations that users add.

``load_plugin`` collects what decorators have marked in one module, and a layer that the caller names. Nothing is
registered globally, so two compilations with different plugins do not meet, and loading is always the caller's act:
a spec may require a plugin by name and can never load one.
"""

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from compiler.catalogue.decorators import Kind, Registration, mark_of, registration_of
from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.parametrization_table import ParametrizationType, describe_parametrization
from compiler.catalogue.plugin_files import PluginError, PluginFile, files_of, import_name, load_file
from spec_schema.suggest import did_you_mean

ENTRY_POINT_GROUP = "blockprint.plugins"


@dataclass(frozen=True)
class Plugin:
    """What one plugin registers, by the names that specs use."""

    name: str
    layers: Mapping[str, LayerType] = field(default_factory=dict)
    operations: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    initializers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    datasets: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    parametrizations: Mapping[str, ParametrizationType] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Callable[..., "Plugin"], tuple[object, ...]]:
        """What is registered is found again by its name in its module."""
        layers = {name: each.cls for name, each in self.layers.items()}
        parts: list[dict[str, Any]] = [
            layers,
            dict(self.operations),
            dict(self.initializers),
            dict(self.datasets),
            {name: each.cls for name, each in self.parametrizations.items()},
        ]
        return _plugin, (files_of(member for part in parts for member in part.values()), self.name, *parts)


# --- loading --------------------------------------------------------------------------------------------


def load_plugin(reference: str) -> Plugin:
    """Load a plugin: a ``.py`` file, an entry point of the group ``blockprint.plugins``, or a module.

    ``file.py:Layer`` is what the file registers, if anything, and that class, which needs no mark.
    """
    place, name = split_reference(reference)
    if name is not None:
        return load_layer(place, name)[0]
    module = _load_module(place)
    plugin = _registered(module, place)
    if plugin == Plugin(plugin.name):
        classes = list(_module_classes(module))
        more = f", or name a layer of it: {place}:{classes[0]}" if classes else ""
        raise PluginError(f"the plugin {place} registers nothing: use @layer, @operation, ... in it{more}")
    return plugin


def load_layer(place: str, name: str) -> tuple[Plugin, LayerType]:
    """Load a plugin and one of its layers: one that it registers by that name, or a class, taken as it is.

    Raises:
        PluginError: the plugin does not load, it has no such class, or no spec could name that class.
    """
    module = _load_module(place)
    plugin = _registered(module, place)
    if name in plugin.layers:
        return plugin, plugin.layers[name]
    layer = _taken(_member(module, place, name, plugin), place, _source(module, place))
    return replace(plugin, layers={**plugin.layers, layer.name: layer}), layer


def split_reference(reference: str) -> tuple[str, str | None]:
    """Return the plugin and the layer that ``file.py:Layer`` names. The layer is None where none is named."""
    place, _, name = reference.rpartition(":")
    return (place, name) if place and name.isidentifier() else (reference, None)


def plugin_of_layer(cls: type) -> Plugin:
    """Return a plugin of one layer alone, by the name of the plugin that its module is.

    Raises:
        PluginError: no spec could name the class.
    """
    source = _source_of(cls)
    layer = _taken(cls, source, source)
    return Plugin(_name_of(sys.modules[cls.__module__], source), {layer.name: layer})


def _registered(module: ModuleType, reference: str) -> Plugin:
    """Return what is marked in a module."""
    found: dict[Kind, dict[str, Any]] = {kind: {} for kind in get_args(Kind)}
    for member in vars(module).values():
        registration = mark_of(member)
        if registration is not None:
            _collect(found[registration.kind], registration, member, reference)
    source, name = _source(module, reference), _name_of(module, reference)
    layers = {each: _layer_type(each, cls, source) for each, cls in found["layer"].items()}
    stored = {
        each: describe_parametrization(cls, each, source) for each, cls in found["parametrization"].items()
    }
    return Plugin(name, layers, found["operation"], found["initializer"], found["dataset"], stored)


def _member(module: ModuleType, place: str, name: str, plugin: Plugin) -> Any:
    if name in vars(module):
        return vars(module)[name]
    names = [*plugin.layers, *_module_classes(module)]
    near = did_you_mean(name, names)
    more = f"did you mean `{near}`?" if near else f"there are: {', '.join(dict.fromkeys(names)) or 'none'}"
    raise PluginError(f"{place} has no layer `{name}`; {more}")


def _module_classes(module: ModuleType) -> dict[str, type]:
    """Return the subclasses of ``torch.nn.Module`` that a module defines, by their names."""
    from torch import nn

    classes = {name: each for name, each in vars(module).items() if inspect.isclass(each)}
    own = {name: each for name, each in classes.items() if each.__module__ == module.__name__}
    return {name: each for name, each in own.items() if issubclass(each, nn.Module)}


def _taken(cls: Any, place: str, source: str) -> LayerType:
    """Return a class as a layer, marked or not; PluginError where no spec could name it."""
    try:
        name = registration_of(cls).name
    except TypeError as error:
        raise PluginError(f"{place}: {error}") from None
    return _layer_type(name, cls, source)


def _source(module: ModuleType, reference: str) -> str:
    return getattr(module, "__file__", None) or reference


def _source_of(cls: type) -> str:
    return getattr(sys.modules[cls.__module__], "__file__", None) or cls.__module__


def _plugin(
    files: tuple[PluginFile, ...],
    name: str,
    layers: Mapping[str, type],
    operations: Mapping[str, Callable[..., Any]],
    initializers: Mapping[str, Callable[..., Any]],
    datasets: Mapping[str, Callable[..., Any]],
    parametrizations: Mapping[str, type[Any]],
) -> Plugin:
    """Return a plugin from a pickle, which loads its files before what they register."""
    found = {each: _layer_type(each, cls, _source_of(cls)) for each, cls in layers.items()}
    stored = {
        each: describe_parametrization(cls, each, _source_of(cls)) for each, cls in parametrizations.items()
    }
    return Plugin(name, found, operations, initializers, datasets, stored)


def _name_of(module: ModuleType, reference: str) -> str:
    name = getattr(module, "NAME", None) or _stem(module)
    if not isinstance(name, str):
        raise PluginError(f"the plugin {reference}: NAME is no text")
    return name


def _load_module(reference: str) -> ModuleType:
    """Return the module of a plugin. Whatever goes wrong in it is the plugin's error."""
    try:
        if reference.endswith(".py"):
            return load_file(Path(reference))
        points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=reference)
        found = next(iter(points)).load() if points else importlib.import_module(reference)
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"the plugin {reference} does not load: {type(error).__name__}: {error}") from error
    if not isinstance(found, ModuleType):
        raise PluginError(f"the entry point {reference} is no module")
    return found


def _stem(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    stem = Path(file).stem if file else module.__name__
    return module.__name__.rsplit(".", 1)[-1] if stem == "__init__" else stem


def _collect(found: dict[str, Any], registration: Registration, member: Any, reference: str) -> None:
    if found.setdefault(registration.name, member) is not member:
        twice = f"two {registration.kind}s called {registration.name}"
        raise PluginError(f"the plugin {reference} registers {twice}")


def _layer_type(name: str, cls: Any, source: str) -> LayerType:
    from compiler.catalogue.layers import describe_layer

    registration = registration_of(cls)
    return describe_layer(cls, name, source, registration.infer, registration.hints)


# --- several plugins ------------------------------------------------------------------------------------


@dataclass
class Registry:
    """What all the plugins of one compilation register together."""

    plugins: dict[str, Plugin] = field(default_factory=dict)
    layers: dict[str, LayerType] = field(default_factory=dict)
    operations: dict[str, Callable[..., Any]] = field(default_factory=dict)
    initializers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    datasets: dict[str, Callable[..., Any]] = field(default_factory=dict)
    parametrizations: dict[str, ParametrizationType] = field(default_factory=dict)

    def add(self, plugin: Plugin) -> None:
        """Add a plugin; PluginError, and no change, where it takes a name that is taken."""
        if plugin.name in self.plugins:
            raise PluginError(f"two plugins are called {plugin.name}")
        self._refuse_taken_names(plugin)
        self.plugins[plugin.name] = plugin
        self.layers.update(plugin.layers)
        self.operations.update(plugin.operations)
        self.initializers.update(plugin.initializers)
        self.datasets.update(plugin.datasets)
        self.parametrizations.update(plugin.parametrizations)

    def _refuse_taken_names(self, plugin: Plugin) -> None:
        """A plugin never changes what a name of torch, or of another plugin, means."""
        from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
        from compiler.catalogue.layers import layer_names
        from compiler.catalogue.operation_table import FUNCTIONS

        taken: list[tuple[Kind, Mapping[str, object], Mapping[str, object], frozenset[str]]] = [
            ("layer", plugin.layers, self.layers, layer_names()),
            ("operation", plugin.operations, self.operations, frozenset(FUNCTIONS)),
            ("initializer", plugin.initializers, self.initializers, frozenset(INITIALIZER_ARGUMENTS)),
            ("dataset", plugin.datasets, self.datasets, frozenset()),
            ("parametrization", plugin.parametrizations, self.parametrizations, frozenset()),
        ]
        for kind, new, registered, built_in in taken:
            for name in new:
                if name in built_in or name in registered:
                    owner = "torch's" if name in built_in else "another plugin's"
                    raise PluginError(f"the plugin {plugin.name}: the {kind} {name} has {owner} name")


def plugin_modules(plugins: Registry) -> set[str]:
    """Return the modules that what emitted files import from plugins comes from."""
    layers = (each.cls for each in plugins.layers.values())
    stored = (each.cls for each in plugins.parametrizations.values())
    callables: list[Any] = [*plugins.operations.values(), *plugins.initializers.values(), *layers, *stored]
    return {import_name(each) for each in callables}
