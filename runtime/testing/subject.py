"""The layer under test: where it comes from, what its signature says, and what hints add to that."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from compiler.catalogue.hints import Hints, Types
from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.layers import layer_names, layer_type
from compiler.catalogue.plugins import Plugin, load_layer, load_plugin, plugin_of_layer, split_reference
from runtime.testing.torch_layers.table import HINTS
from spec_schema.shown import ShownError
from spec_schema.suggest import did_you_mean

UNDER = " if "
"""Stands between a property and the condition under which it is excepted."""
MANY = 20
"""Names that are not listed any more."""


class HintError(ShownError, ValueError):
    """A layer cannot be tested as it is: a hint is wrong, or one is missing."""


@dataclass(frozen=True)
class Subject:
    """A layer under test. `plugin` is what a spec needs to name it, None for a layer of torch."""

    layer: LayerType
    hints: Hints
    plugin: Plugin | None = None

    def __post_init__(self) -> None:
        for types in self.input_types:
            self._check("inputs", types, list(self.forward_parameters()))
        self._check("arguments", self.hints.arguments, [each.name for each in self.layer.arguments])

    def _check(self, what: str, given: Iterable[str], known: list[str]) -> None:
        for name in given:
            check_known(self, what, name, known)

    @property
    def input_types(self) -> list[Types]:
        """The mappings of types that the hints give, to choose from."""
        given = self.hints.inputs
        return [given] if isinstance(given, Mapping) else list(given)

    @property
    def plugins(self) -> list[Plugin]:
        """What a spec with the layer is compiled and loaded with."""
        return [] if self.plugin is None else [self.plugin]

    def exception(self, property: str) -> str | None:
        """Return why the hints except a property, None where they do not, or not always."""
        return self.hints.exceptions.get(property)

    def exceptions_under_conditions(self, property: str) -> dict[str, str]:
        """Return the conditions under which the hints except a property, each with the reason."""
        parts = ((key.partition(UNDER), reason) for key, reason in self.hints.exceptions.items())
        return {condition: reason for (name, _, condition), reason in parts if condition and name == property}

    def forward_parameters(self) -> dict[str, inspect.Parameter]:
        """Return what `forward` takes, without `self` and what hides behind stars."""
        hidden = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        found = inspect.signature(self.layer.cls.forward).parameters.values()
        return {each.name: each for each in list(found)[1:] if each.kind not in hidden}

    def required_inputs(self) -> list[str]:
        """Return the inputs that `forward` cannot do without."""
        return [n for n, each in self.forward_parameters().items() if each.default is each.empty]


def check_known(subject: Subject, what: str, name: str, known: Collection[str]) -> None:
    """Refuse a name in a hint that means nothing there; HintError says what was probably meant."""
    if name not in known:
        message = f"{subject.layer.name}: hints.{what} name `{name}`"
        raise HintError(f"{message}; {alternatives(name, known)}")


def alternatives(name: str, known: Collection[str]) -> str:
    """Return what was probably meant by a name, or all that there is."""
    near = did_you_mean(name, known)
    return f"did you mean `{near}`?" if near else f"there are: {', '.join(known) or 'none'}"


def subject_of(cls: type[nn.Module], hints: Hints | None = None) -> Subject:
    """Return a layer class as a subject, registered by `@layer` or not.

    Raises:
        PluginError: no spec could name the class, or say what it takes.
    """
    if cls.__module__.startswith("torch.nn.") and cls.__name__ in layer_names():
        return torch_subject(cls.__name__, hints)
    plugin = plugin_of_layer(cls)
    (layer,) = plugin.layers.values()
    return Subject(layer, hints or layer.hints, plugin)


def torch_subject(name: str, hints: Hints | None = None) -> Subject:
    """Return a layer of torch by its name."""
    return Subject(layer_type(name), hints or HINTS.get(name, Hints()))


def subjects_at(reference: str) -> list[Subject]:
    """Return what `file.py:Layer`, `file.py` (all layers that it registers) or `Linear` names.

    Raises:
        HintError: there is no such layer.
        PluginError: the file does not load, or the class is none that a spec could name.
    """
    place, name = split_reference(reference)
    if name is not None:
        plugin, layer = load_layer(place, name)
        return [Subject(layer, layer.hints, plugin)]
    if not place.endswith(".py"):
        return [torch_subject(_known(place, layer_names(), "torch has no layer"))]
    plugin = load_plugin(place)
    if not plugin.layers:
        raise HintError(f"{place} registers no layer: mark one with @layer, or name a class: {place}:Layer")
    return [Subject(each, each.hints, plugin) for each in plugin.layers.values()]


def _known(name: str, names: Collection[str], message: str) -> str:
    if name in names:
        return name
    many = len(names) >= MANY and did_you_mean(name, names) is None
    help = "write `file.py:Layer` for one of your own" if many else alternatives(name, names)
    raise HintError(f"{message} `{name}`; {help}")
