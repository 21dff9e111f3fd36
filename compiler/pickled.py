"""An artifact in a pickle: the spec, the plugins, the limits and the devices, from which it is compiled again."""

from __future__ import annotations

import copyreg
import json
from collections.abc import Callable, Hashable, Mapping
from weakref import WeakValueDictionary

from compiler.artifact import Artifact, Parts, key_of
from compiler.catalogue.plugins import Plugin
from compiler.pipeline import compile_canonical
from spec_schema.limits import Limits

_alive: WeakValueDictionary[Hashable, Artifact] = WeakValueDictionary()
"""The artifacts that were pickled here, and those from pickles."""


def reduced(artifact: Artifact) -> tuple[Callable[..., Artifact], Parts]:
    """Return what a pickle holds of an artifact, and what makes it again."""
    _alive.setdefault(artifact.key, artifact)
    return compile_parts, artifact.parts


def compile_parts(
    text: str, plugins: tuple[Plugin, ...], limits: Limits, devices: Mapping[str, str]
) -> Artifact:
    """Return the artifact of a pickle: the one that is there already, else compiled again.

    Raises:
        SpecError: this version of the compiler, or of a plugin, refuses the spec.
    """
    key = key_of(text, plugins, limits, devices)
    found = _alive.get(key)
    if found is None:
        found = _alive[key] = _compile(text, plugins, limits, devices)
    return found


def _compile(text: str, plugins: tuple[Plugin, ...], limits: Limits, devices: Mapping[str, str]) -> Artifact:
    from compiler.other_devices import on_devices

    artifact = compile_canonical(json.loads(text), name="<pickle>", plugins=plugins, limits=limits)
    return on_devices(artifact, devices)


copyreg.pickle(Artifact, reduced)
"""Said here, since what an artifact is made again with stands behind it."""
