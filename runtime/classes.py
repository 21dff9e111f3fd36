"""The classes of an artifact, made from its verified source."""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
from collections import OrderedDict
from types import ModuleType

from torch import nn

from compiler.artifact import Artifact
from compiler.catalogue.plugins import Registry, import_name
from compiler.pipeline import plugin_modules
from compiler.verify import open_imports, safe_builtins, verify

REGISTERED = 256
"""The number of emitted modules that one process keeps findable by name."""

_registered: OrderedDict[str, str] = OrderedDict()

ARTIFACT = "blockprint_artifact"
"""The attribute of a built model that holds its artifact."""


def root_class(artifact: Artifact) -> type[nn.Module]:
    """Return the root class of an artifact.

    The source is registered with `linecache`, so that tracebacks and debuggers show its lines.
    """
    cls: type[nn.Module] = getattr(emitted_module(artifact.source, artifact), artifact.name)
    return cls


def emitted_module(source: str, artifact: Artifact) -> ModuleType:
    """Return the module that emitted source makes. It is verified, and then executed, here and nowhere else."""
    plugins = artifact.program.scope.plugins
    digest = hashlib.blake2b(source.encode(), digest_size=6).hexdigest()
    filename = f"<blockprint {artifact.name} {digest}>"
    tree = ast.parse(source, filename)
    verify(tree, plugin_modules(plugins))
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module = ModuleType(f"blockprint_{artifact.name.lower()}_{digest}")
    known = module.__dict__["__builtins__"] = safe_builtins(_plugin_namespaces(plugins))
    exec(compile(tree, filename, "exec"), module.__dict__)  # noqa: S102 - verified, see compiler.verify
    open_imports(known)
    _register(module, filename)
    return module


def _register(module: ModuleType, filename: str) -> None:
    """Let `torch.compile` and `inspect` find a module, and forget the oldest when there are many."""
    sys.modules[module.__name__] = module
    _registered[module.__name__] = filename
    _registered.move_to_end(module.__name__)
    while len(_registered) > REGISTERED:
        oldest, its_file = _registered.popitem(last=False)
        sys.modules.pop(oldest, None)
        linecache.cache.pop(its_file, None)


def artifact_of(model: nn.Module) -> Artifact:
    """Return the artifact that a model was built from.

    Raises:
        TypeError: the model was not built by `runtime.build` or `runtime.load`.
    """
    artifact = getattr(model, ARTIFACT, None)
    if not isinstance(artifact, Artifact):
        raise TypeError(f"{type(model).__name__} was not built from a spec")
    return artifact


def _plugin_namespaces(plugins: Registry) -> dict[str, ModuleType]:
    """Return, for each module that plugins come from, a module that holds what they register."""
    modules: dict[str, ModuleType] = {}
    for title, function in plugins.operations.items():
        home = import_name(function)
        setattr(modules.setdefault(home, ModuleType(home)), title, function)
    for layer in plugins.layers.values():
        home = import_name(layer.cls)
        setattr(modules.setdefault(home, ModuleType(home)), layer.cls.__name__, layer.cls)
    return modules
