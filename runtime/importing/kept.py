"""Modules that stay layers of Python (`--keep`): which those are, and what their constructors were given."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

from torch import nn

from compiler.catalogue.layers import layer_names
from runtime.importing.positions import definition_of, refuse_at
from runtime.importing.sizes import plain
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.suggest import did_you_mean

Kept: TypeAlias = str | type[nn.Module]
"""A type of modules, or its name, with its package if need be."""

_GIVEN = "_given_arguments"


def types_of(root: nn.Module, kept: Sequence[Kept]) -> list[type[nn.Module]]:
    """Return the types of the modules that are to stay layers of Python.

    Raises:
        SpecError: there is no such module, or a file could not import its type.
    """
    found = sorted({cls for each in kept for cls in _types_of(root, each)}, key=_full_name)
    names = [cls.__name__ for cls in found]
    if type(root) in found:
        raise refuse(
            "import-keep", "the model itself would stay Python, and there is nothing to import", None
        )
    for cls in found:
        if names.count(cls.__name__) > 1:
            said = f"two types are called `{cls.__name__}`"
            raise refuse("import-keep", said, None, help=f"keep `{_full_name(cls)}` alone")
        if cls.__name__ in layer_names():
            raise refuse("import-keep", f"`{cls.__name__}` has the name of a layer of torch's", None)
        if getattr(sys.modules.get(cls.__module__), cls.__name__, None) is not cls:
            said = f"`{cls.__qualname__}` cannot be kept: no name of its file is that type"
            raise refuse("import-keep", said, None, help="define it at the top of a file")
    return found


def _types_of(root: nn.Module, kept: Kept) -> set[type[nn.Module]]:
    classes = {type(each): None for each in root.modules()}
    found = {cls for cls in classes if kept in (cls, cls.__name__, _full_name(cls))}
    if not found:
        name = kept if isinstance(kept, str) else kept.__name__
        near = did_you_mean(name, [cls.__name__ for cls in classes])
        help = f"did you mean `{near}`?" if near else None
        raise refuse("import-keep", f"no module is a `{name}`", None, help=help)
    return found


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def given_arguments(module: nn.Module) -> Mapping[str, Any]:
    """Return what a constructor was given, as far as it is known: noted as it ran, or kept as an attribute."""
    noted = vars(module).get(_GIVEN, {})
    found = {}
    for name in inspect.signature(type(module)).parameters:
        value = noted.get(name, vars(module).get(name, nn.Module))
        if is_said(value):
            found[name] = _said(value)
    return found


def refuse_unknown(module: nn.Module, name: str) -> SpecError:
    """Return the refusal of a module of which an argument is not known."""
    said = f"nothing says which `{name}` a `{type(module).__name__}` was made with, or no spec can say it"
    help = f"`self.{name} = {name}` in its constructor, if it is a number or a text"
    return refuse_at(definition_of(module), "import-keep", said, help=help)


def is_said(value: object) -> bool:
    """Return whether a spec can say a value."""
    if isinstance(value, tuple | list):
        return all(map(is_said, value))
    return value is None or isinstance(value, bool | int | float | str)


def _said(value: Any) -> Any:
    return tuple(map(_said, value)) if isinstance(value, tuple | list) else plain(value)


@contextmanager
def noted(kept: Sequence[Kept]) -> Iterator[None]:
    """Take note of what the constructors of kept types are given, while a module is made."""
    initialise = nn.Module.__init__

    def note(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        initialise(self, *args, **kwargs)
        cls = type(self)
        if {cls, cls.__name__, _full_name(cls)} & {*kept}:
            vars(self)[_GIVEN] = _arguments_in(sys._getframe(1), self)

    nn.Module.__init__ = note  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__init__ = initialise  # type: ignore[method-assign]


def _arguments_in(frame: FrameType | None, module: nn.Module) -> dict[str, Any]:
    """Return the arguments of the constructor of a module, which is among those that run."""
    code = getattr(type(module).__init__, "__code__", None)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    if frame is None:
        return {}
    names = frame.f_code.co_varnames[1 : frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
    return {name: frame.f_locals[name] for name in names if is_said(frame.f_locals.get(name, nn.Module))}
