"""The classes of an artifact, made from its verified source."""

from __future__ import annotations

import ast
import hashlib
import linecache
from types import ModuleType
from typing import Any

from torch import nn

from compiler.artifact import Artifact
from compiler.catalogue.plugins import Registry
from compiler.pipeline import plugin_modules
from compiler.verify import safe_builtins, verify


def root_class(artifact: Artifact) -> type[nn.Module]:
    """Return the root class of an artifact.

    The source is registered with `linecache`, so that tracebacks and debuggers show its lines.
    """
    source = artifact.source
    plugins = artifact.program.scope.plugins
    digest = hashlib.blake2b(source.encode(), digest_size=6).hexdigest()
    filename = f"<blockprint {artifact.name} {digest}>"
    tree = ast.parse(source, filename)
    verify(tree, plugin_modules(plugins))
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {
        "__name__": f"blockprint_{artifact.name.lower()}_{digest}",
        "__builtins__": safe_builtins(_plugin_namespaces(plugins)),
    }
    exec(compile(tree, filename, "exec"), namespace)  # noqa: S102 - verified, see compiler.verify
    cls: type[nn.Module] = namespace[artifact.name]
    cls.blockprint_artifact = artifact  # type: ignore[attr-defined]
    return cls


def artifact_of(model: nn.Module) -> Artifact:
    """Return the artifact that a model was built from.

    Raises:
        TypeError: the model was not built by `runtime.build` or `runtime.load`.
    """
    artifact = getattr(type(model), "blockprint_artifact", None)
    if not isinstance(artifact, Artifact):
        raise TypeError(f"{type(model).__name__} was not built from a spec")
    return artifact


def _plugin_namespaces(plugins: Registry) -> dict[str, ModuleType]:
    """Return, for each module that plugins come from, a module that holds what they register."""
    modules: dict[str, ModuleType] = {}
    for title, function in plugins.operations.items():
        setattr(modules.setdefault(function.__module__, ModuleType(function.__module__)), title, function)
    for layer in plugins.layers.values():
        cls = layer.cls
        setattr(modules.setdefault(cls.__module__, ModuleType(cls.__module__)), cls.__name__, cls)
    return modules
