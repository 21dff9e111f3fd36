"""The last guard before emitted source runs: a walk over its tree that lets only known forms and names pass."""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from compiler.catalogue.initializer_table import INITIALIZER_ARGUMENTS
from compiler.catalogue.layers import layer_names
from compiler.catalogue.operation_table import CONSTANTS, DTYPE_LIMITS, FUNCTIONS, METHODS
from compiler.catalogue.parametrization_table import PARAMETRIZATIONS, PATH, REGISTER
from compiler.catalogue.unsafe import UNSAFE_ATTRIBUTES, private_attributes
from spec_schema.keys import is_attribute, is_key
from spec_schema.shown import ShownError

IMPORTS = frozenset({"collections.abc", "einops", "math", "torch", "torch.nn.functional"})
DUNDERS = frozenset({"__init__"})
NODES: tuple[type[ast.AST], ...] = (
    ast.Module,
    ast.Import,
    ast.ImportFrom,
    ast.alias,
    ast.ClassDef,
    ast.FunctionDef,
    ast.arguments,
    ast.arg,
    ast.Expr,
    ast.Assign,
    ast.AnnAssign,
    ast.Return,
    ast.If,
    ast.While,
    ast.For,
    ast.With,
    ast.withitem,
    ast.Pass,
    ast.Break,
    ast.Continue,
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Slice,
    ast.Call,
    ast.keyword,
    ast.Starred,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.ListComp,
    ast.comprehension,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.JoinedStr,
    ast.FormattedValue,
    ast.expr_context,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
UNSAFE_BUILTINS = frozenset("eval exec compile open input breakpoint".split())
UNSAFE_NAMES = UNSAFE_BUILTINS | frozenset("getattr setattr delattr globals locals vars dir help".split())
"""Builtins that emitted source does not name."""
MODULES = {"torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "math": "math"}
"""The names under which emitted source imports modules."""
IMPORTED = frozenset(
    {"collections.abc.Callable", "collections.abc.Sequence", "typing.Self", "torch.Tensor", "torch.nn"}
)
"""What it imports from them by name, beside the operations of einops."""
CONTAINERS = "Module ModuleDict ModuleList Parameter Sequential"
MAKERS = (
    "torch.dtype torch.empty torch.empty_like torch.full torch.ones torch.tensor torch.zeros"
    " torch.no_grad torch.default_generator"
)


class VerificationError(ShownError):
    """Emitted source holds what no emitted source may hold: a bug of the compiler, not of the spec."""


def verify(tree: ast.Module, plugin_modules: Iterable[str] = ()) -> None:
    """Check every node of an emitted tree against the allowlist.

    Raises:
        VerificationError: a node, an import or a name is not allowed.
    """
    plugins = frozenset(plugin_modules)
    nodes = list(ast.walk(tree))
    bases: set[ast.AST] = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    top = frozenset(map(id, tree.body))
    for kind in {type(node) for node in nodes}:
        if not issubclass(kind, NODES):
            raise VerificationError(f"a {kind.__name__} in emitted source")
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if id(node) not in top:
                raise VerificationError("emitted source imports in a class, a function or a branch")
            _check_import(node, plugins)
        elif isinstance(node, ast.With):
            _check_with(node)
        elif isinstance(node, ast.Attribute):
            _check_attribute(node)
        elif isinstance(node, ast.Name) and (
            node.id.startswith("__") or (node.id in MODULES and node not in bases)
        ):
            raise VerificationError(f"the name {node.id} in emitted source")
    if any(isinstance(node, ast.Name) and node.id in UNSAFE_NAMES for node in nodes):
        _check_builtins(tree, frozenset())


def _check_import(node: ast.Import | ast.ImportFrom, plugins: frozenset[str]) -> None:
    for alias in node.names:
        if isinstance(node, ast.Import):
            known = MODULES.get(alias.asname or alias.name) == alias.name
        else:
            full = f"{node.module}.{alias.name}"
            known = node.module in plugins or (full in IMPORTED and alias.asname is None)
            known = known or (node.module == "einops" and full in members() and alias.asname is None)
        if not known:
            raise VerificationError(f"an import of {alias.name} in emitted source")


def _check_with(node: ast.With) -> None:
    """Refuse any context but `torch.no_grad()`."""
    if any(ast.unparse(item) != "torch.no_grad()" for item in node.items):
        raise VerificationError(f"with {ast.unparse(node.items[0])} in emitted source")


def _check_attribute(node: ast.Attribute) -> None:
    private = node.attr.startswith("_") and node.attr not in DUNDERS and not _is_layer(node)
    if private or node.attr in UNSAFE_ATTRIBUTES or not is_attribute(node.attr):
        raise VerificationError(f"the attribute {node.attr} in emitted source")
    path = _path(node)
    if path is None:
        return
    if path not in members():
        raise VerificationError(f"{path} in emitted source")
    if not isinstance(node.ctx, ast.Load):
        raise VerificationError(f"emitted source writes to {path}")


def _is_layer(node: ast.Attribute) -> bool:
    """Return whether an attribute that begins with `_` can be a layer alone: `self._fc`, or one inside of a layer."""
    owner: ast.expr = node
    while isinstance(owner, ast.Attribute | ast.Subscript | ast.Call):
        if not isinstance(owner, ast.Call):
            owner = owner.value
        elif _takes_layer(owner):
            owner = owner.args[0]
        else:
            break
    is_own = isinstance(owner, ast.Name) and owner.id == "self"
    return is_own and is_key(node.attr) and node.attr not in private_attributes()


def _takes_layer(node: ast.AST) -> bool:
    """Return whether a node is `getattr(self, "1x1")`: a layer whose key is no name, which no other attribute has."""
    match node:
        case ast.Call(func=ast.Name("getattr"), args=[ast.expr(), ast.Constant(str() as key)], keywords=[]):
            return is_key(key, is_named=True) and not is_attribute(key)
    return False


def _path(node: ast.expr) -> str | None:
    """Return the full name of a member of a module; None for an attribute of anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not (isinstance(node, ast.Name) and node.id in MODULES):
        return None
    return ".".join([MODULES[node.id], *reversed(names)])


def _check_builtins(node: ast.AST, bound: frozenset[str]) -> None:
    """Refuse unsafe builtins; `bound` are the names of arguments and local values, which may be called `input`."""
    if isinstance(node, ast.FunctionDef):
        stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        bound = bound | stored | {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    if isinstance(node, ast.Name) and node.id in UNSAFE_NAMES - bound:
        raise VerificationError(f"the name {node.id} in emitted source")
    children = ast.iter_child_nodes(node)
    for child in node.args if isinstance(node, ast.Call) and _takes_layer(node) else children:
        _check_builtins(child, bound)


@cache
def members() -> frozenset[str]:
    """Return the members of modules that emitted source may name: those of the tables, and the modules on the way."""
    found = {*FUNCTIONS.values(), *CONSTANTS.values(), *DTYPE_LIMITS.values(), *MAKERS.split()}
    found |= {f"torch.Tensor.{method}" for method in METHODS}
    found |= {f"torch.nn.{layer}" for layer in (*layer_names(), *CONTAINERS.split())}
    found |= {f"torch.nn.init.{name}_" for name in INITIALIZER_ARGUMENTS}
    found |= {REGISTER, *(f"{PATH}.{name}" for name in PARAMETRIZATIONS)}
    found |= {f"math.{name}" for name in vars(math) if not name.startswith("_")}
    parts = [full.split(".") for full in found]
    return frozenset(".".join(part[:length]) for part in parts for length in range(1, len(part) + 1))


def safe_builtins(plugins: Mapping[str, ModuleType]) -> dict[str, Any]:
    """Return the builtins that emitted source runs with: none that runs text or opens anything.

    `torch.compile` looks up more of them than emitted source names, such as `iter`. Imports are looked up in a
    closed table.
    """
    allowed = {name: value for name, value in vars(builtins).items() if name not in UNSAFE_BUILTINS}
    allowed["__import__"] = _importer(plugins)
    return allowed


def open_imports(builtins_of_module: dict[str, Any]) -> None:
    """Let imports pass in the frames of a module that has run: they are not its own.

    The verifier lets no import stand but at the top level, so that none of the source is left to run, and lets no name
    begin with two underscores. C++ of torch imports through the builtins of the frame that called it, as
    `torch.jit.trace` does; an error that is raised there leaves the process broken.
    """
    builtins_of_module["__import__"] = builtins.__import__


def _importer(plugins: Mapping[str, ModuleType]) -> Any:
    def import_known(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if name in plugins:
            return plugins[name]
        if name not in IMPORTS or level:
            raise VerificationError(f"an import of {name} by emitted source")
        return builtins.__import__(name, {}, {}, fromlist, 0)

    return import_known
