"""A run of a module, watched: which functions it calls, in which modules, on which values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from runtime.importing.functions import (
    Spelled,
    UnspokenError,
    is_fact,
    is_look,
    spell,
    torch_name,
)
from runtime.importing.item_writes import UnsaidWriteError, with_item
from runtime.importing.leaves import base_layer, is_leaf, is_loop
from runtime.importing.parametrizations import stored_for
from runtime.importing.positions import refuse_at
from runtime.importing.programs import does_the_same
from runtime.importing.records import (
    Record,
    Scope,
    Target,
    Value,
    is_fixed,
)
from runtime.importing.running import Opened
from runtime.importing.sizes import plain
from runtime.importing.structures import (
    bound_arguments,
    holds_values,
    shapes_of,
    single,
    tensors_in,
)
from runtime.importing.views import Views
from spec_schema.diagnostics import SpecError


def _ends(from_: float = 0, to: float = 1, **others: Any) -> tuple[float, float]:
    return others.get("from", from_), to


def _spread(mean: float = 0, std: float = 1, **others: Any) -> tuple[float, float]:
    return mean, std


FILLS = {"torch.Tensor.uniform_": _ends, "torch.Tensor.normal_": _spread}
"""What fills a tensor with random numbers -> where they begin and end, or their mean and spread."""


class ValuesNeeded(Exception):
    """A program looks into a tensor, and runs without values."""


class Recorder(Views):
    """Records one run of a skeleton."""

    def record(self) -> Record:
        return Record(self.skeleton.root, self.scopes, self.layer_inputs, self.words, list(self.looks))

    # --- functions ---------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = torch_name(func)
        if name == "torch.Tensor.type" and len(args) > 1 and isinstance(args[1], torch.dtype):
            func, name = torch.Tensor.to, "torch.Tensor.to"
        if self.paused or not self.stack or is_fact(name):
            with self.pause():
                return func(*args, **kwargs)
        self.look_around()
        if is_look(name):
            return self.look(func, args, kwargs)
        if name == "torch.Tensor.__setitem__":
            return self.write_item(*args)
        if name in FILLS and args[1:] + tuple(kwargs.values()):
            return self.fill(name, *args, **kwargs)
        if name == "torch.div" and all(isinstance(each, int) for each in args):
            return self.divided(*args, **kwargs)
        try:
            spelled = spell(func, name, tuple(args), kwargs)
        except UnspokenError as missing:
            raise refuse_at(
                self.position, "import-operation", f"the language has no operation for `{missing.name}`"
            ) from None
        if name == "torch.nn.functional.batch_norm" and self.is_own_norm(args, kwargs):
            spelled = Spelled(Target("base", "base", self.stack[-1].scope.module), args[:1], {})
            self.layer_inputs.setdefault(self.stack[-1].scope.module, shapes_of(args[:1]))
        written = spelled.args[spelled.target.name == "expand_as"] if spelled.in_place else None
        self.check_written(written)
        told = {key: each for key, each in spelled.kwargs.items() if key != "training" or each != self.mode()}
        given, named = self.structure(spelled.args), self.structure(told)
        before, wholes = self.stamps(args, kwargs), self.wholes_of(written)
        with self.pause():
            result = func(*args, **kwargs)
        if spelled.target.form == "attribute" and spelled.target.name == "dtype":
            self.read_dtype(spelled, given, result)
            return result
        target = self.with_effect(spelled.target, given, kwargs)
        result = self.finish(target, given, named, result, before, spelled.in_place)
        self.update(written)
        self.write_through(wholes)
        if target.form == "item":
            self.look_through(args[0], args[1], result)
        return result

    def look(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return what a program sees in a tensor; written down where inputs or weights decide it."""
        if self.skeleton.device == "meta":
            raise ValuesNeeded
        with self.pause():
            fixed = is_fixed(self.structure((tuple(args), dict(kwargs))))
            result = func(*args, **kwargs)
        if fixed:
            return result
        if not isinstance(result, bool):
            raise refuse_at(
                self.position, "import-data-number", "what is in a tensor becomes a number of Python's"
            )
        if self.position is not None:
            self.looks.setdefault(self.position)
        return result

    def is_own_norm(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Return whether a normalisation is that of the layer which the running module extends."""
        module = self.stack[-1].scope.module
        if not isinstance(module, nn.modules.batchnorm._BatchNorm) or not args:
            return False
        given = [*args[1:], *kwargs.values()]
        return all(
            any(each is own for each in given) for own in (module.weight, module.bias) if own is not None
        )

    def write_item(self, tensor: Tensor, index: Any, value: Any) -> None:
        """Take note of a write into a part of a tensor: from then on it is the tensor that has the part in it."""
        if self.holds(tensor, index, value):
            return
        position, wholes = self.position, self.wholes_of(tensor)
        self.check_written(tensor)
        try:
            with self:
                made = with_item(tensor, index, value)
        except UnsaidWriteError:
            said = "the language has no operation that writes such a part of a tensor"
            raise refuse_at(position, "import-operation", said) from None
        with self.pause():
            whole = self.value_of(made)
            tensor[index] = value
            self.written(tensor)
            self.bind(tensor, whole)
            self.update(tensor)
        self.write_through(wholes)

    def divided(self, one: int, other: int, rounding_mode: str | None = None) -> Any:
        """Divide sizes, for which torch makes a tensor: as a number it may be a size again."""
        if rounding_mode is None:
            return one / other
        exact = rounding_mode == "floor" or (one >= 0 and other > 0)
        return one // other if exact else math.trunc(plain(one) / plain(other))

    def fill(self, name: str, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Fill a tensor with random numbers of another range or spread than those that one operation draws."""
        self.check_written(tensor)
        first, second = FILLS[name](*args, **kwargs)
        with self:
            if name == "torch.Tensor.normal_":
                made = torch.randn_like(tensor) * second + first
            else:
                made = torch.rand_like(tensor) * (second - first) + first
        with self.pause():
            value = self.value_of(made)
            tensor.copy_(made)
            self.written(tensor)
            self.bind(tensor, value)
            self.update(tensor)
        return tensor

    # --- modules -----------------------------------------------------------------------------------

    def enter(
        self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], run: Callable[..., Any]
    ) -> Any:
        """Run a module that is called, as a layer or as a scope of its own."""
        if self.paused or module not in self.skeleton.modules or (self.stack and self.is_open(module)):
            return run(module, *args, **kwargs)
        if self.stack:
            self.look_around(entering=True)
        if isinstance(module, ParametrizationList):
            return self.read_parametrized(module, run)
        if is_leaf(module):
            return self.enter_layer(module, args, kwargs, run)
        return self.enter_scope(module, args, kwargs, run)

    def is_open(self, module: nn.Module) -> bool:
        """Return whether what a module does is written in the program that calls it."""
        return is_loop(module) or module in self.open_modules

    def enter_layer(
        self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], run: Callable[..., Any]
    ) -> Any:
        if not self.stack:  # the model is one layer: nothing is written down
            with self.pause():
                self.layer_inputs.setdefault(module, shapes_of([*args, *kwargs.values()]))
                return run(module, *args, **kwargs)
        with self.pause():
            given, named = self.structure(tuple(args)), self.structure(dict(kwargs))
            self.layer_inputs.setdefault(module, shapes_of(args))
        before = self.stamps(args, kwargs)
        with self.pause():
            result = run(module, *args, **kwargs)
        in_place = bool(getattr(module, "inplace", False))
        return self.finish(self.target(module), given, named, result, before, in_place)

    def read_parametrized(self, module: nn.Module, run: Callable[..., Any]) -> Any:
        """Return a parametrised weight that a program reads: the parameter of its layer."""
        with self.pause():
            result = run(module)
            path = self.target(module).name
            self.bind(result, Value("state", stored_for(f"{path}."), shape=tuple(result.shape)))
        return result

    def target(self, module: nn.Module) -> Target:
        """Return what the running scope calls a module; refused where it is no part of the scope's own."""
        inside = self.stack[-1].scope.module
        paths = self.skeleton.paths_between(inside, module)
        if not paths:
            raise refuse_at(
                self.position,
                "import-outside-module",
                f"`{self.skeleton.name_of(inside)}` calls `{self.skeleton.name_of(module)}`, which is no part of it",
                help="call it in the module that holds both",
            )
        called = self.stack[-1].called
        called[module] += 1
        return Target("module", paths[min(called[module], len(paths)) - 1], module, effect=True)

    def enter_scope(
        self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], run: Callable[..., Any]
    ) -> Any:
        outer = self.stack[-1] if self.stack else None
        bound = bound_arguments(module, args, kwargs)
        passed = {key: each for key, each in bound.items() if holds_values(each)}
        target = self.target(module) if outer else None
        with self.pause():
            given = self.structure(passed) if outer else {}
        before, position = self.stamps(args, kwargs), self.position
        opened = Opened(Scope(module))
        self.stack.append(opened)
        changed = dict(self.writes)
        try:
            with self.pause():
                inner = {
                    key: self.received(key, each, outer is not None and is_fixed(given.get(key)))
                    for key, each in bound.items()
                }
            # A wrapped `forward` may call its arguments otherwise: what came without a name goes on without one.
            names = [] if "*" in inner else list(inner)[: len(args)]
            given_args = [*inner.pop("*", ()), *(inner.pop(name) for name in names)]
            result = run(module, *given_args, **inner)
            with self.pause():
                opened.scope.result = self.structure(single(result) if outer else result)
                self.put_assigned()
        finally:
            self.stack.pop()
        self.scopes.setdefault(module, []).append(opened.scope)
        self.position = position
        if outer is None or target is None:
            return result
        if self.is_plain(opened.scope, args, kwargs):
            self.scopes[module].pop()
            if not self.scopes[module]:
                del self.scopes[module]
            self.layer_inputs.setdefault(module, shapes_of(args))
            return self.finish(
                target, self.structure(tuple(args)), self.structure(dict(kwargs)), result, before, False
            )
        if self.writes != changed:  # it returns an input that it wrote: no other object
            before -= {id(each) for each in tensors_in(result)}
        known = is_fixed(opened.scope.result)
        return self.finish(target, (), given, self.renumbered(result), before, in_place=False, known=known)

    def is_plain(self, scope: Scope, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Return whether a module that extends a layer does here just what that layer does."""
        base = base_layer(scope.module)
        if base is None or self.skeleton.adds_to(scope.module):
            return False
        opened = Opened(Scope(scope.module))
        self.stack.append(opened)
        try:
            with self.pause():
                inner = [self.received(f"input{place}", each) for place, each in enumerate(args)]
            result = self.forwards[base](scope.module, *inner, **kwargs)
            with self.pause():
                opened.scope.result = self.structure(result)
        except (RuntimeError, TypeError, ValueError, SpecError):
            return False  # the layer would not even take what the module takes
        finally:
            self.stack.pop()
        return does_the_same(scope, opened.scope)
