"""Layers, operations, initialisers and data sets that users add.

A decorator checks what it is given and leaves a mark on it; ``load_plugin`` collects the marked objects of
one module. Nothing is registered globally, so two compilations with different plugins do not meet, and
loading is always the caller's act: a spec may require a plugin by name and can never load one.
"""

import importlib
import importlib.metadata
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal, TypeVar, cast, overload

from compiler.catalogue.hints import Hints
from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.plugin_files import PluginError, PluginFile, files_of, import_name, load_file

__all__ = [
    "ENTRY_POINT_GROUP",
    "Kind",
    "Plugin",
    "PluginError",
    "Registration",
    "Registry",
    "dataset",
    "initializer",
    "layer",
    "load_plugin",
    "operation",
]

ENTRY_POINT_GROUP = "blockprint.plugins"

Kind = Literal["layer", "operation", "initializer", "dataset"]

_MARK = "__blockprint__"
_LONGEST_NAME = 64

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Registration:
    """The mark that a decorator leaves."""

    kind: Kind
    name: str
    infer: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    hints: Hints = field(default_factory=Hints, compare=False)


@dataclass(frozen=True)
class Plugin:
    """What one plugin registers, by the names that specs use."""

    name: str
    layers: Mapping[str, LayerType] = field(default_factory=dict)
    operations: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    initializers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    datasets: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Callable[..., "Plugin"], tuple[object, ...]]:
        """What is registered is found again by its name in its module."""
        layers = {name: each.cls for name, each in self.layers.items()}
        parts: list[dict[str, Any]] = [
            layers,
            dict(self.operations),
            dict(self.initializers),
            dict(self.datasets),
        ]
        return _plugin, (files_of(member for part in parts for member in part.values()), self.name, *parts)


# --- decorators -----------------------------------------------------------------------------------------


@overload
def layer(target: T, /) -> T: ...
@overload
def layer(
    target: str | None = None, /, *, infer: Mapping[str, str] | None = None, hints: Hints | None = None
) -> Callable[[T], T]: ...
def layer(
    target: Any = None, /, *, infer: Mapping[str, str] | None = None, hints: Hints | None = None
) -> Any:
    """Register an ``nn.Module`` with annotated arguments: ``@layer``, or ``@layer("Name", infer={...})``.

    ``infer`` says which sizes follow from the input: ``{"width": "x.shape[-1]"}``, with ``x`` for the first
    input and a number, counted from 0, for another one. Arguments with torch's names for such sizes
    (``in_features``, ``in_channels``, ...) need no rule. ``hints`` are for ``test-layer``.
    """

    def registration(name: str) -> Registration:
        return Registration("layer", name, MappingProxyType(dict(infer or {})), hints or Hints())

    return _decorator(registration, target, _check_layer)


@overload
def operation(target: T, /) -> T: ...
@overload
def operation(target: str | None = None, /) -> Callable[[T], T]: ...
def operation(target: Any = None, /) -> Any:
    """Register an annotated function of tensors, which must change none of its arguments."""
    return _decorator(partial(Registration, "operation"), target, _check_function)


@overload
def initializer(target: T, /) -> T: ...
@overload
def initializer(target: str | None = None, /) -> Callable[[T], T]: ...
def initializer(target: Any = None, /) -> Any:
    """Register an annotated function as an initialiser."""
    return _decorator(partial(Registration, "initializer"), target, _check_function)


@overload
def dataset(target: T, /) -> T: ...
@overload
def dataset(target: str | None = None, /) -> Callable[[T], T]: ...
def dataset(target: Any = None, /) -> Any:
    """Register a data set: a class, or a function that returns one."""
    return _decorator(partial(Registration, "dataset"), target, _check_dataset)


def _decorator(
    registered: Callable[[str], Registration], target: Any, check: Callable[[Any, Registration], None]
) -> Any:
    """Return the decorated object where the decorator is used bare, else the decorator that waits for it."""

    def mark(found: T) -> T:
        name = target if isinstance(target, str) else getattr(found, "__name__", "")
        registration = registered(name)
        check(found, registration)
        setattr(found, _MARK, registration)
        return found

    return mark if target is None or isinstance(target, str) else mark(target)


def _check_layer(cls: Any, registration: Registration) -> None:
    from torch import nn

    name = registration.name
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise TypeError(f"@layer is for subclasses of torch.nn.Module, and {_called(cls)} is none")
    _check_name("layer", name, r"[A-Z][A-Za-z0-9_]*", "begin with an upper-case letter")
    from compiler.catalogue.layers import signature_of

    parameters = signature_of(cls).parameters
    _check_annotations(f"layer {name}", parameters.values())
    for argument, rule in registration.infer.items():
        if argument not in parameters:
            raise TypeError(f"layer {name}: infer names {argument!r}, which is no argument of {_called(cls)}")
        _check_rule(name, argument, rule)


def _check_rule(name: str, argument: str, rule: str) -> None:
    from compiler.catalogue.deferral import parse_rule

    try:
        parse_rule(rule)
    except ValueError as error:
        raise TypeError(f"layer {name}: infer of {argument!r}: {error}") from None


def _check_function(function: Any, registration: Registration) -> None:
    kind, name = registration.kind, registration.name
    if not inspect.isfunction(function):
        raise TypeError(f"@{kind} is for functions, and {_called(function)} is none")
    _check_name(kind, name, r"[a-z][a-z0-9_]*", "be in lower case")
    _check_annotations(f"{kind} {name}", inspect.signature(function).parameters.values())


def _check_dataset(found: Any, registration: Registration) -> None:
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise TypeError(f"@dataset is for classes and functions, and {_called(found)} is neither")
    _check_name("dataset", registration.name, r"[A-Za-z][A-Za-z0-9_]*", "be an ASCII identifier")


def _check_name(kind: str, name: str, pattern: str, rule: str) -> None:
    if len(name) > _LONGEST_NAME or re.fullmatch(pattern, name) is None:
        alphabet = f"at most {_LONGEST_NAME} ASCII letters, digits and underscores"
        raise TypeError(f"the name of a {kind} must {rule} ({alphabet}): {name!r}")


def _check_annotations(what: str, parameters: Iterable[inspect.Parameter]) -> None:
    """Specs are checked against annotations, so every argument has one, and none hides behind a star."""
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{what}: write out the arguments behind {parameter}; specs are checked by them")
        if parameter.annotation is parameter.empty:
            example = f"{parameter.name}: int"
            raise TypeError(f"{what}: {parameter.name!r} needs an annotation, such as {example}")


def _called(found: Any) -> str:
    return getattr(found, "__qualname__", None) or repr(found)


# --- loading --------------------------------------------------------------------------------------------


def load_plugin(reference: str) -> Plugin:
    """Load a plugin: a ``.py`` file, an entry point of the group ``blockprint.plugins``, or a module."""
    module = _load_module(reference)
    name = _name_of(module, reference)
    found: dict[Kind, dict[str, Any]] = {"layer": {}, "operation": {}, "initializer": {}, "dataset": {}}
    for member in vars(module).values():
        registration = _mark_of(member)
        if registration is not None:
            _collect(found[registration.kind], registration, member, reference)
    if not any(found.values()):
        raise PluginError(f"the plugin {reference} registers nothing: use @layer, @operation, ... in it")
    source = getattr(module, "__file__", None) or reference
    layers = {each: _layer_type(each, cls, source) for each, cls in found["layer"].items()}
    return Plugin(name, layers, found["operation"], found["initializer"], found["dataset"])


def plugin_of_layer(cls: type) -> Plugin:
    """Return a plugin of one layer alone, by the name of the plugin that its module is.

    Raises:
        PluginError: the class is not registered by ``@layer``.
    """
    registration = _mark_of(cls)
    if registration is None or registration.kind != "layer":
        raise PluginError(f"{_called(cls)} is no registered layer: mark it with @layer")
    module, source, name = sys.modules[cls.__module__], _source_of(cls), registration.name
    return Plugin(_name_of(module, source), {name: _layer_type(name, cls, source)})


def _source_of(cls: type) -> str:
    return getattr(sys.modules[cls.__module__], "__file__", None) or cls.__module__


def _plugin(
    files: tuple[PluginFile, ...],
    name: str,
    layers: Mapping[str, type],
    *more: Mapping[str, Callable[..., Any]],
) -> Plugin:
    """Return a plugin from a pickle, which loads its files before what they register."""
    found = {each: _layer_type(each, cls, _source_of(cls)) for each, cls in layers.items()}
    return Plugin(name, found, *more)


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


def _mark_of(member: Any) -> Registration | None:
    """Return the mark on the object itself. A subclass of a registered class is not registered by that."""
    try:
        mark = vars(member).get(_MARK)
    except TypeError:  # an object without attributes of its own
        return None
    return mark if isinstance(mark, Registration) else None


def _collect(found: dict[str, Any], registration: Registration, member: Any, reference: str) -> None:
    if found.setdefault(registration.name, member) is not member:
        twice = f"two {registration.kind}s called {registration.name}"
        raise PluginError(f"the plugin {reference} registers {twice}")


def _layer_type(name: str, cls: Any, source: str) -> LayerType:
    from compiler.catalogue.layers import describe_layer

    registration = cast(Registration, _mark_of(cls))
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
        ]
        for kind, new, registered, built_in in taken:
            for name in new:
                if name in built_in or name in registered:
                    owner = "torch's" if name in built_in else "another plugin's"
                    raise PluginError(f"the plugin {plugin.name}: the {kind} {name} has {owner} name")


def plugin_modules(plugins: Registry) -> set[str]:
    """Return the modules that the layers, operations and initialisers of plugins come from."""
    layers = (layer.cls for layer in plugins.layers.values())
    callables: list[Any] = [*plugins.operations.values(), *plugins.initializers.values(), *layers]
    return {import_name(each) for each in callables}
