"""Instances of emitted classes without values: what is made again and again alike is copied.

A model of a thousand equal blocks would run the same constructors a thousand times. Here a class that is called with
equal arguments, in the constructors of one model, is run twice, and what it made is copied from then on, part by part:
each copy has tensors and parts of its own, and what is one tensor or one part inside of it is one in each copy.

Only what follows from the arguments alone is copied: emitted classes and layers of torch, called with plain values, and
made of plain values and tensors on the meta device. A layer of a plugin is made by its constructor each time, and so is
all around it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

LAYERS = "torch.nn.modules."
"""What the modules begin with that torch's layers are defined in."""

PARAMETERS, BUFFERS, MODULES, UNSAVED = "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"

PLAIN = (type(None), bool, int, float, str, torch.dtype, FunctionType, BuiltinFunctionType)
"""Values of attributes that never change."""

Class = type[nn.Module]


class NotCopiedError(Exception):
    """A module may hold more than what a copy would have."""


def construct(module: ModuleType, name: str) -> nn.Module:
    """Return an instance of a class of an emitted module, made of tensors without values.

    It is called where torch makes tensors on the meta device.
    """
    made = (
        getattr(module, name)() if _watched() else _Construction(module).make(getattr(module, name), (), {})
    )
    assert isinstance(made, nn.Module)
    return made


def _watched() -> bool:
    """Return whether someone is to be told of each part of each module that is made."""
    return bool(
        torch_module._global_parameter_registration_hooks
        or torch_module._global_buffer_registration_hooks
        or torch_module._global_module_registration_hooks
    )


@dataclass(frozen=True, eq=False)
class _Form:
    """A tensor of a module that is copied."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    is_parameter: bool
    requires_grad: bool

    def tensor(self) -> Tensor:
        """Return a new tensor of this form."""
        made = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")
        return nn.Parameter(made, self.requires_grad) if self.is_parameter else made


@dataclass(frozen=True, eq=False)
class _Pattern:
    """All that a module is made of."""

    cls: Class
    plain: Mapping[str, Any]
    empty: tuple[tuple[str, Callable[[], object]], ...]
    """Containers with nothing in them, such as those of hooks."""
    unsaved: frozenset[str]
    parameters: tuple[tuple[str, _Form | None], ...]
    buffers: tuple[tuple[str, _Form | None], ...]
    modules: tuple[tuple[str, _Pattern | None], ...]

    def copy(self) -> nn.Module:
        """Return a new module."""
        with torch._C.DisableTorchFunction():
            return self._copy({}, {})

    def _copy(self, tensors: dict[_Form, Tensor], modules: dict[_Pattern, nn.Module]) -> nn.Module:
        if self in modules:
            return modules[self]
        made = modules[self] = self.cls.__new__(self.cls)
        found = made.__dict__
        found.update(self.plain)
        for name, kind in self.empty:
            found[name] = kind()
        for key, forms in ((PARAMETERS, self.parameters), (BUFFERS, self.buffers)):
            found[key] = {name: None if form is None else _tensor(form, tensors) for name, form in forms}
        found[UNSAVED] = set(self.unsaved)
        found[MODULES] = {
            name: None if each is None else each._copy(tensors, modules) for name, each in self.modules
        }
        return made


def _tensor(form: _Form, tensors: dict[_Form, Tensor]) -> Tensor:
    if form not in tensors:
        tensors[form] = form.tensor()
    return tensors[form]


@dataclass(eq=False)
class _Reader:
    """Reads patterns. `own` is the name of the emitted module."""

    own: str
    forms: dict[int, _Form] = field(default_factory=dict)
    patterns: dict[int, _Pattern] = field(default_factory=dict)

    def pattern(self, module: nn.Module) -> _Pattern:
        """Return the pattern of a module.

        Raises:
            NotCopiedError: it is no emitted class or layer of torch, or holds what may be changed, or a hook.
        """
        if id(module) not in self.patterns:
            self.patterns[id(module)] = self._pattern(module)
        return self.patterns[id(module)]

    def _pattern(self, module: nn.Module) -> _Pattern:
        cls, held = type(module), vars(module)
        if cls.__module__ != self.own and not cls.__module__.startswith(LAYERS):
            raise NotCopiedError(cls.__name__)
        known = (PARAMETERS, BUFFERS, MODULES, UNSAVED)
        empty = {k: type(v) for k, v in held.items() if isinstance(v, dict | list | set) and not v}
        plain = {k: v for k, v in held.items() if k not in known and k not in empty}
        if not all(map(_is_plain, plain.values())):
            raise NotCopiedError(cls.__name__)
        return _Pattern(
            cls,
            plain,
            tuple((name, kind) for name, kind in empty.items() if name not in known),
            frozenset(module._non_persistent_buffers_set),
            tuple((name, self._form(each, nn.Parameter)) for name, each in module._parameters.items()),
            tuple((name, self._form(each, Tensor)) for name, each in module._buffers.items()),
            tuple(
                (name, None if each is None else self.pattern(each)) for name, each in module._modules.items()
            ),
        )

    def _form(self, tensor: Tensor | None, kind: type[Tensor]) -> _Form | None:
        if tensor is None:
            return None
        if type(tensor) is not kind or not tensor.is_meta or vars(tensor) or tensor.grad_fn is not None:
            raise NotCopiedError(type(tensor).__name__)
        if id(tensor) not in self.forms:
            stride, is_parameter = tensor.stride(), kind is nn.Parameter
            form = _Form(tensor.shape, stride, tensor.dtype, is_parameter, tensor.requires_grad)
            self.forms[id(tensor)] = form
        return self.forms[id(tensor)]


def _is_plain(value: object) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


@dataclass(eq=False)
class _Construction:
    """Makes the modules of one model."""

    module: ModuleType
    patterns: dict[Hashable, _Pattern | None] = field(default_factory=dict)
    """By a call that was made: None after the first time, and where nothing may be copied."""
    refused: set[Hashable] = field(default_factory=set)
    constructors: dict[Class, Callable[..., None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have the constructors call this for the classes that they name. Nothing else sees these names."""
        self.names: dict[str, Any] = {**vars(self.module), "nn": _Layers(self)}
        for name, value in vars(self.module).items():
            if isinstance(value, type) and value.__module__ == self.module.__name__:
                self.names[name] = _Maker(value, self)

    def call(self, cls: Class, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> nn.Module:
        """Return a new module, a copy where it was made before."""
        try:
            key = cls, _form_of(arguments), tuple(keywords), _form_of(tuple(keywords.values()))
        except NotCopiedError:
            return self.make(cls, arguments, keywords)
        pattern = self.patterns.get(key)
        if pattern is not None:
            return pattern.copy()
        made = self.make(cls, arguments, keywords)
        if key not in self.patterns:
            self.patterns[key] = None
        elif key not in self.refused:
            self._read(key, made)
        return made

    def _read(self, key: Hashable, made: nn.Module) -> None:
        """Remember a module before anyone has it, who might change it."""
        try:
            self.patterns[key] = _Reader(self.module.__name__).pattern(made)
        except NotCopiedError:
            self.refused.add(key)

    def make(self, cls: Class, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> nn.Module:
        """Return a new module, made by its constructor."""
        if cls not in self.constructors:
            self.constructors[cls] = self._constructor(cls)
        made = cls.__new__(cls)
        self.constructors[cls](made, *arguments, **keywords)
        return made

    def _constructor(self, cls: Class) -> Callable[..., None]:
        """Return the constructor of a class; that of an emitted one calls the others through this."""
        own = vars(cls).get("__init__")
        if not isinstance(own, FunctionType) or own.__globals__ is not vars(self.module):
            return cls.__init__
        made = FunctionType(own.__code__, self.names, own.__name__, own.__defaults__, own.__closure__)
        made.__kwdefaults__ = own.__kwdefaults__
        return made


class _Maker:
    """Stands for a class in the constructors of a model."""

    def __init__(self, cls: Class, construction: _Construction) -> None:
        self.cls, self.construction = cls, construction

    def __call__(self, *arguments: Any, **keywords: Any) -> nn.Module:
        return self.construction.call(self.cls, arguments, keywords)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.cls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cls, name)


class _Layers:
    """Stands for `torch.nn` in the constructors of a model."""

    def __init__(self, construction: _Construction) -> None:
        self.construction = construction

    def __getattr__(self, name: str) -> Any:
        found = getattr(nn, name)
        if isinstance(found, type) and found.__module__.startswith(LAYERS):
            found = _Maker(found, self.construction)
            setattr(self, name, found)
        return found


def _form_of(value: Any) -> Hashable:
    """Return a key of an argument.

    Raises:
        NotCopiedError: it is no plain value.
    """
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_form_of, value))
    if isinstance(value, PLAIN):
        return type(value), value
    raise NotCopiedError(type(value).__name__)
