"""The names of an emitted file: what it imports, its classes, and what each value of a spec is called in it.

A name that a spec chooses stays as it is where it can. What is bound in a function, such as an input or a local value,
gets one `_` more where it would hide what the function needs: an import, a class of the file, or a builtin that is
called there. Layers, parameters and buffers are attributes, and keep their names, which are those of a state dict.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field

from compiler.catalogue.operation_table import FUNCTIONS as OPERATIONS
from spec_schema.evaluate import FUNCTIONS

RESERVED = frozenset(
    {"torch", "nn", "F", "Tensor", "OrderedDict", "math", "fx", "self", "super", "range", "Any"}
)
CALLED = frozenset({*FUNCTIONS, "enumerate", "len", "list", "next", "range", "str", "super", "tuple", "zip"})
"""The builtins that a function may call: for its loops and names of layers, and for the expressions of a spec."""
EINOPS = frozenset(path.removeprefix("einops.") for path in OPERATIONS.values() if path.startswith("einops."))


def unused(wanted: str, taken: Container[str]) -> str:
    """Return the name, with a number behind it if it is taken."""
    title, number = wanted, 2
    while title in taken:
        title, number = f"{wanted}_{number}", number + 1
    return title


@dataclass
class Globals:
    """Collects what the file uses, while its classes are emitted."""

    used: set[str] = field(default_factory=set)
    einops: set[str] = field(default_factory=set)
    plugins: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name in the file → the module of a plugin that it is imported from, and its name there."""
    taken: set[str] = field(default_factory=lambda: set(RESERVED))
    """The names of the file that no value of a function has."""
    bound: Collection[str] = frozenset()
    """The names that a spec binds in functions, which what the emitter adds to the file does not have."""
    called: Collection[str] = frozenset()
    """What programs call by its name in the file."""

    def unique(self, wanted: str) -> str:
        """Return a name for a class of the spec, that no other global has; functions do not bind it."""
        return self._added(wanted, ())

    def added(self, wanted: str) -> str:
        """Return a name for what is added to the file while its functions are emitted."""
        return self._added(wanted, self.bound)

    def _added(self, wanted: str, others: Container[str]) -> str:
        title, number = wanted, 2
        while title in self.taken or title in others:
            title, number = f"{wanted}{number}", number + 1
        self.taken.add(title)
        return title

    def reserve(self, titles: Iterable[str]) -> None:
        """Keep the names of what may be imported from plugins."""
        self.taken |= {*titles}

    def plugin(self, title: str, module: str) -> str:
        """Return the name in the file of what is imported from a plugin."""
        for known, source in self.plugins.items():
            if source == (module, title):
                return known
        own = self.added(title) if title in self.plugins or title in RESERVED | EINOPS else title
        self.plugins[own] = (module, title)
        return own

    def local(self, wanted: str) -> str:
        """Return what a value of a program, or an input, is called in its function."""
        return f"{wanted}_" if self._hides(wanted, self.called) else wanted

    def in_constructor(self, wanted: str) -> str:
        """Return what a constructor calls a value that it binds."""
        return f"{wanted}_" if self._hides(wanted, CALLED) or self._hides(wanted, EINOPS) else wanted

    def _hides(self, wanted: str, more: Container[str]) -> bool:
        """Say whether a name is a global one, with any number of `_`, so that two names stay two."""
        stem = wanted.rstrip("_")
        return stem in self.taken or stem in more

    def function(self, path: str) -> ast.expr:
        """Return the expression for a callable of the operation table, and note what it needs."""
        from compiler.emit.syntax import dotted, name

        if path.startswith("einops."):
            title = path.removeprefix("einops.")
            self.einops.add(title)
            return name(title)
        if path.startswith("torch.nn.functional."):
            self.used.add("F")
            return dotted("F." + path.removeprefix("torch.nn.functional."))
        self.used.add(path.split(".")[0])
        return dotted(path)

    def imports(self) -> list[ast.stmt]:
        """Return the import statements in the order that a linter wants."""
        body: list[ast.stmt] = []
        if "math" in self.used:
            body.append(ast.Import([ast.alias("math")]))
        if "OrderedDict" in self.used:
            body.append(ast.ImportFrom("collections", [ast.alias("OrderedDict")], 0))
        return [*body, *self._third_party()]

    def _third_party(self) -> list[ast.stmt]:
        body: list[ast.stmt] = []
        if "torch" in self.used:
            body.append(ast.Import([ast.alias("torch")]))
        if "F" in self.used:
            body.append(ast.Import([ast.alias("torch.nn.functional", "F")]))
        modules: dict[str, list[str]] = {"einops": sorted(self.einops)}
        modules["torch"] = [
            t for t in ("Tensor", "fx", "nn") if t in self.used or (t == "fx" and self.einops)
        ]
        aliases = {
            module: [ast.alias(title) for title in sorted(titles)] for module, titles in modules.items()
        }
        for own, (module, title) in sorted(self.plugins.items()):
            aliases.setdefault(module, []).append(ast.alias(title, own if own != title else None))
        return [*body, *(ast.ImportFrom(module, each, 0) for module, each in sorted(aliases.items()) if each)]

    def wraps(self) -> list[ast.stmt]:
        """Return the statements that make einops' functions leaves of `torch.fx` graphs."""
        from compiler.emit.syntax import call

        return [ast.Expr(call("fx.wrap", ast.Constant(title))) for title in sorted(self.einops)]
