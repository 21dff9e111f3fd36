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
from compiler.emit.syntax import dotted, load_name
from compiler.emit.trees import names_in
from spec_schema.evaluate import FUNCTIONS

ABSTRACT = ("Callable", "Sequence")
"""What is imported from collections.abc, for annotations."""
MAKE_DIVISIBLE = "make_divisible"
"""A function of specs that a file has itself."""
RESERVED = frozenset(
    {*ABSTRACT, "Self", "torch", "nn", "F", "Tensor", "math", "self", "super", "range", "Any", MAKE_DIVISIBLE}
)
CALLED = frozenset(
    {*FUNCTIONS, "enumerate", "hasattr", "len", "list", "next", "range", "str", "super", "tuple", "zip"}
)
"""The builtins that a function may call: for its loops and names of layers, and for the expressions of a spec."""
EINOPS = frozenset(path.removeprefix("einops.") for path in OPERATIONS.values() if path.startswith("einops."))


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
        name, number = wanted, 2
        while name in self.taken or name in others:
            name, number = f"{wanted}{number}", number + 1
        self.taken.add(name)
        return name

    def reserve(self, names: Iterable[str]) -> None:
        """Keep the names of what may be imported from plugins."""
        self.taken |= {*names}

    def plugin(self, name: str, module: str) -> str:
        """Return the name in the file of what is imported from a plugin."""
        for known, source in self.plugins.items():
            if source == (module, name):
                return known
        own = self.added(name) if name in self.plugins or name in RESERVED | EINOPS else name
        self.plugins[own] = (module, name)
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
        if path.startswith("einops."):
            name = path.removeprefix("einops.")
            self.einops.add(name)
            return load_name(name)
        if path.startswith("torch.nn.functional."):
            self.used.add("F")
            return dotted("F." + path.removeprefix("torch.nn.functional."))
        self.used.add(path.split(".")[0])
        return dotted(path)

    def read(self, code: ast.Module) -> None:
        """Note what the finished code of the file reads of what can be imported."""
        read = names_in(code)
        self.einops &= read
        self.used = {
            name for name in (*ABSTRACT, "Self", "F", "Tensor", "math", "nn", "torch") if name in read
        }

    def imports(self) -> list[ast.stmt]:
        """Return the import statements in the order that a linter wants."""
        body: list[ast.stmt] = []
        if "math" in self.used:
            body.append(ast.Import([ast.alias("math")]))
        abstract = [ast.alias(name) for name in ABSTRACT if name in self.used]
        if abstract:
            body.append(ast.ImportFrom("collections.abc", abstract, 0))
        if "Self" in self.used:
            body.append(ast.ImportFrom("typing", [ast.alias("Self")], 0))
        return [*body, *self._third_party()]

    def _third_party(self) -> list[ast.stmt]:
        body: list[ast.stmt] = []
        if "torch" in self.used:
            body.append(ast.Import([ast.alias("torch")]))
        if "F" in self.used:
            body.append(ast.Import([ast.alias("torch.nn.functional", "F")]))
        modules: dict[str, list[str]] = {"einops": sorted(self.einops)}
        modules["torch"] = [name for name in ("Tensor", "nn") if name in self.used]
        aliases = {module: [ast.alias(name) for name in sorted(names)] for module, names in modules.items()}
        for own, (module, name) in sorted(self.plugins.items()):
            aliases.setdefault(module, []).append(ast.alias(name, own if own != name else None))
        return [*body, *(ast.ImportFrom(module, each, 0) for module, each in sorted(aliases.items()) if each)]
