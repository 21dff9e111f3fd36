"""The classes of an artifact, made from its verified source: once in a process, and again in another one.

A pickle of a built model holds the source, and not a name to import, so that a process that knows nothing of the spec
verifies the source and makes the classes from it.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from threading import RLock
from types import ModuleType
from typing import Any, SupportsIndex
from weakref import WeakValueDictionary

from torch import fx, nn

from compiler.artifact import Artifact
from compiler.catalogue.plugin_files import PluginFile, files_of, import_name
from compiler.catalogue.plugins import Registry
from compiler.emit.syntax import RESET
from compiler.verify import open_imports, safe_builtins, verify
from runtime.sharded import unwrapped

REGISTERED = 256
"""The number of emitted modules that one process keeps findable by name."""

ARTIFACT = "blockprint_artifact"
"""The attribute of a built model that holds its artifact."""

WRAP = "__wrap__"
"""What `fx.wrap` is called while a module is executed: no name of emitted source begins so."""

_lock = RLock()
_registered: OrderedDict[str, str] = OrderedDict()
_alive: WeakValueDictionary[tuple[object, ...], ModuleType] = WeakValueDictionary()
"""The emitted modules that are in use. Their classes keep them alive, and they keep what they import."""


@dataclass(frozen=True, eq=False)
class ModuleSource:
    """What an emitted module is made of."""

    title: str
    """The name of the artifact."""
    source: str
    members: tuple[tuple[str, str, Any], ...] = field(repr=False)
    """What the source imports from plugins: the module, the name in it, and what is meant."""

    @property
    def key(self) -> tuple[object, ...]:
        """Tells modules apart: plugins of one name may differ, as where a file was changed and loaded again."""
        return self.title, self.source, *(id(member) for _, _, member in self.members)

    def __deepcopy__(self, memo: dict[int, Any]) -> ModuleSource:
        return self

    def __reduce__(self) -> tuple[Callable[..., ModuleSource], tuple[object, ...]]:
        files = files_of(member for _, _, member in self.members)
        return _recipe, (files, self.title, self.source, self.members)


def _recipe(
    files: tuple[PluginFile, ...], title: str, source: str, members: tuple[tuple[str, str, Any], ...]
) -> ModuleSource:
    """Return a recipe from a pickle, which loads the files of plugins before their members."""
    return ModuleSource(title, source, members)


def root_class(artifact: Artifact) -> type[nn.Module]:
    """Return the root class of an artifact."""
    cls: type[nn.Module] = getattr(module_of(artifact), artifact.name)
    return cls


def module_of(artifact: Artifact) -> ModuleType:
    """Return the module of the classes of an artifact.

    The source is registered with `linecache`, so that tracebacks and debuggers show its lines.
    """
    members = tuple(_imported(artifact.tree, artifact.program.scope.plugins))
    return made(ModuleSource(artifact.name, artifact.class_source, members))


def emitted_module(source: str, artifact: Artifact) -> ModuleType:
    """Return the module that emitted source makes with the plugins of an artifact; the same each time."""
    members = tuple(_imported(ast.parse(source), artifact.program.scope.plugins))
    return made(ModuleSource(artifact.name, source, members))


def made(recipe: ModuleSource) -> ModuleType:
    """Return the module of a recipe: the one in use, or a new one."""
    with _lock:
        module = _alive.get(recipe.key)
        if module is None:
            module = _alive[recipe.key] = _execute(recipe)
        _register(module, recipe)
        return module


def _execute(recipe: ModuleSource) -> ModuleType:
    """Return a new module. Emitted source is verified, and then executed, here and nowhere else."""
    module = ModuleType(_free_name(recipe))
    filename = _filename(module, recipe)
    tree = ast.parse(recipe.source, filename)
    plugins = _namespaces(recipe.members)
    verify(tree, plugins)
    _leave_values_out(tree)
    known = module.__dict__["__builtins__"] = safe_builtins(plugins)
    module.__dict__[WRAP] = fx.wrap
    tree.body += _wraps(tree)
    exec(compile(tree, filename, "exec"), module.__dict__)  # noqa: S102 - verified, see compiler.verify
    del module.__dict__[WRAP]
    open_imports(known)
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            _let_pickle(value, module, recipe)
    return module


def _leave_values_out(tree: ast.Module) -> None:
    """Take out of the constructors the call that gives first values: a built model gets these from the plan."""
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        methods = {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef)}
        if RESET not in methods:
            continue
        body = methods["__init__"].body
        calls = [each for each in body if ast.unparse(each) == f"self.{RESET}()"]
        for each in calls:  # none where the constructor of an extended layer calls it
            body.remove(each)


def _wraps(tree: ast.Module) -> list[ast.stmt]:
    """Return the statements that make einops' functions leaves of `torch.fx` graphs, since they ask for sizes.

    `fx.wrap` works in the module whose functions are traced, and in no function. The emitted file does without.
    """
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "einops"]
    calls = [f"{WRAP}({alias.name!r})" for node in imports for alias in node.names]
    return ast.parse("\n".join(calls)).body


def _free_name(recipe: ModuleSource) -> str:
    """Return a name for a module. Two of one source have plugins that differ."""
    digest = hashlib.blake2b(recipe.source.encode(), digest_size=6).hexdigest()
    name = f"blockprint_{recipe.title.lower()}_{digest}"
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(each for each in names if each not in sys.modules)


def _filename(module: ModuleType, recipe: ModuleSource) -> str:
    return (
        f"<blockprint {recipe.title} {module.__name__.removeprefix(f'blockprint_{recipe.title.lower()}_')}>"
    )


def _register(module: ModuleType, recipe: ModuleSource) -> None:
    """Let `torch.compile`, `inspect` and tracebacks find a module, and forget the oldest when there are many."""
    name, filename = module.__name__, _filename(module, recipe)
    linecache.cache[filename] = (len(recipe.source), None, recipe.source.splitlines(keepends=True), filename)
    sys.modules[name] = module
    _registered[name] = filename
    _registered.move_to_end(name)
    while len(_registered) > REGISTERED:
        oldest, its_file = _registered.popitem(last=False)
        sys.modules.pop(oldest, None)
        linecache.cache.pop(its_file, None)


def artifact_of(model: nn.Module) -> Artifact:
    """Return the artifact that a model was built from.

    Raises:
        TypeError: the model was not built by `runtime.build` or `runtime.load`.
    """
    artifact = getattr(unwrapped(model), ARTIFACT, None)
    if not isinstance(artifact, Artifact):
        raise TypeError(f"{type(model).__name__} was not built from a spec")
    return artifact


# Plugins.


def _imported(tree: ast.Module, plugins: Registry) -> Iterator[tuple[str, str, Any]]:
    """Yield what a source imports from plugins, as `members` of a recipe are."""
    known: dict[tuple[str, str], Any] = {
        (import_name(each), title): each for title, each in plugins.operations.items()
    }
    classes: list[Any] = [each.cls for each in plugins.layers.values()]
    classes += [each.cls for each in plugins.parametrizations.values()]
    known |= {(import_name(cls), cls.__name__): cls for cls in classes}
    known |= {(import_name(each), each.__name__): each for each in plugins.initializers.values()}
    for node in (each for each in tree.body if isinstance(each, ast.ImportFrom)):
        for alias in node.names:
            where = (str(node.module), alias.name)
            if where in known:
                yield *where, known[where]


def _namespaces(members: Iterable[tuple[str, str, Any]]) -> dict[str, ModuleType]:
    """Return, for each module that plugins come from, a module that holds what is imported from it."""
    modules: dict[str, ModuleType] = {}
    for home, title, member in members:
        setattr(modules.setdefault(home, ModuleType(home)), title, member)
    return modules


# Pickles.


def _let_pickle(cls: Any, module: ModuleType, recipe: ModuleSource) -> None:
    """Let instances of an emitted class be pickled with the source, and the class keep its module in use."""

    def reduce(self: Any, protocol: SupportsIndex) -> Any:
        if type(self) is not cls:  # a class derived from it, such as torch makes to parametrise a module
            return super(cls, self).__reduce_ex__(protocol)
        _, _, *rest = super(cls, self).__reduce_ex__(max(2, protocol.__index__()))
        return _instance, (recipe, cls.__name__), *rest

    reduce.module = module  # type: ignore[attr-defined]
    cls.__reduce_ex__ = reduce


def _instance(recipe: ModuleSource, name: str) -> Any:
    """Return an instance of an emitted class, which is then given its state."""
    cls = getattr(made(recipe), name)
    return cls.__new__(cls)
