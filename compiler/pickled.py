"""An artifact in a pickle: the spec, the plugins, the limits and the devices, from which it is compiled again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

from compiler.artifact import Artifact
from compiler.catalogue.plugins import Plugin
from spec_schema.limits import Limits

_alive: WeakValueDictionary[tuple[object, ...], Artifact] = WeakValueDictionary()
"""The artifacts that were pickled here, and those from pickles."""

Parts = tuple[str, tuple[Plugin, ...], Limits, Mapping[str, str]]


def reduced(artifact: Artifact) -> tuple[Callable[..., Artifact], Parts]:
    """Return what a pickle holds of an artifact, and what makes it again."""
    plugins = tuple(artifact.program.scope.plugins.plugins.values())
    devices = {row.name: row.device for row in artifact.plan.rows}
    parts = (artifact.canonical_text, plugins, artifact.inferred.engine.limits, devices)
    _alive.setdefault(_key(*parts), artifact)
    return compile_parts, parts


def compile_parts(
    text: str, plugins: tuple[Plugin, ...], limits: Limits, devices: Mapping[str, str]
) -> Artifact:
    """Return the artifact of a pickle: the one that is there already, else compiled again.

    Raises:
        SpecError: this version of the compiler, or of a plugin, refuses the spec.
    """
    key = _key(text, plugins, limits, devices)
    found = _alive.get(key)
    if found is None:
        found = _alive[key] = _compile(text, plugins, limits, devices)
    return found


def _compile(text: str, plugins: tuple[Plugin, ...], limits: Limits, devices: Mapping[str, str]) -> Artifact:
    from compiler.pipeline import compile_canonical
    from compiler.placement.place import on_devices

    artifact = compile_canonical(json.loads(text), name="<pickle>", plugins=plugins, limits=limits)
    return on_devices(artifact, devices)


def _key(
    text: str, plugins: tuple[Plugin, ...], limits: Limits, devices: Mapping[str, str]
) -> tuple[object, ...]:
    """Tells artifacts apart: plugins of one name may differ."""
    return text, limits, tuple(devices.items()), *map(id, _members(plugins))


def _members(plugins: tuple[Plugin, ...]) -> Iterator[Any]:
    for plugin in plugins:
        yield from (layer.cls for layer in plugin.layers.values())
        for part in (plugin.operations, plugin.initializers, plugin.datasets):
            yield from part.values()
