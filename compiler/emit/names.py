"""The global names of an emitted file: what it imports, and unique names for its classes."""

from __future__ import annotations

import ast
from collections.abc import Container
from dataclasses import dataclass, field

from spec_schema.evaluate import FUNCTIONS

RESERVED = frozenset(
    {"torch", "nn", "F", "Tensor", "OrderedDict", "math", "fx", "self", "super", "range", "Any"}
)
CALLED = frozenset({*FUNCTIONS, "enumerate", "len", "list", "range", "str", "super", "zip"})
"""The builtins that a constructor calls: its loops and names of layers, and the expressions of a spec."""


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
    plugins: dict[str, str] = field(default_factory=dict)
    """Name of a plugin's layer or operation → module that it is imported from."""
    taken: set[str] = field(default_factory=lambda: set(RESERVED))

    def unique(self, wanted: str) -> str:
        """Return a name that no other global has."""
        title, number = wanted, 2
        while title in self.taken:
            title, number = f"{wanted}{number}", number + 1
        self.taken.add(title)
        return title

    def local(self, wanted: str) -> str:
        """Return a name for a local value, which must not hide a global one."""
        return f"{wanted}_" if wanted in self.taken or wanted in self.einops else wanted

    def in_constructor(self, wanted: str) -> str:
        """Return a name for what a constructor binds, which must not hide a builtin that it calls, either."""
        return f"{wanted}_" if wanted in CALLED else self.local(wanted)

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
        for title, module in self.plugins.items():
            modules.setdefault(module, []).append(title)
        for module, titles in sorted(modules.items()):
            if titles:
                body.append(ast.ImportFrom(module, [ast.alias(title) for title in sorted(titles)], 0))
        return body

    def wraps(self) -> list[ast.stmt]:
        """Return the statements that make einops' functions leaves of `torch.fx` graphs."""
        from compiler.emit.syntax import call

        return [ast.Expr(call("fx.wrap", ast.Constant(title))) for title in sorted(self.einops)]
