"""A run of a module, watched: which functions it calls, in which modules, on which values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from runtime.importing.functions import Spelled, Unspoken, is_fact, spell, torch_name
from runtime.importing.leaves import base_layer, is_leaf, is_loop, tensors_of_base
from runtime.importing.parametrizations import stored_for
from runtime.importing.positions import author_frames, position_of, refuse_at
from runtime.importing.programs import does_the_same
from runtime.importing.records import Call, Position, Record, Scope, Structure, Target, Value, values_in
from runtime.importing.sizes import Number, TracedFloat, TracedInt, plain, traced
from runtime.importing.skeleton import Skeleton
from runtime.importing.structures import (
    bound_arguments,
    holds_values,
    memory_of,
    shapes_of,
    tensors_in,
    unpacked,
)
from spec_schema.diagnostics import SpecError

MAPPED = (tuple, list, dict)
SIZES = frozenset({"shape", "size", "numel", "nelement"})
"""Operations that return sizes of tensors."""


class Opened:
    """A scope that is running: which value each tensor in it is."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.known: dict[int, tuple[Tensor, Value, int]] = {}
        """Tensor -> it, kept alive; its value; how often its memory had been written when it was seen."""
        self.owned: set[int] = set()
        """The numbers of this scope, by the identity of their values."""
        self.values: list[Value] = []
        self.dtypes: dict[torch.dtype, Value] = {}


class Recorder(TorchFunctionMode):
    """Records one run of a skeleton."""

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.stack: list[Opened] = []
        self.scopes: dict[nn.Module, list[Scope]] = {}
        self.layer_inputs: dict[nn.Module, list[tuple[int, ...] | None]] = {}
        self.writes: dict[int, int] = {}
        """Memory -> how often it was written."""
        self.words: dict[nn.Module, str] = {}
        """What the author's programs call modules: the names of loops over them, for one."""
        self.forwards: dict[type[nn.Module], Callable[..., Any]] = {}
        """What layers do that modules extend, by their classes."""
        self.buffers = {module: dict(module._buffers) for module in skeleton.modules}
        self.paused = 0
        self.position: Position | None = None

    def record(self) -> Record:
        return Record(self.skeleton.root, self.scopes, self.layer_inputs, self.words)

    @contextmanager
    def pause(self) -> Iterator[None]:
        self.paused += 1
        try:
            yield
        finally:
            self.paused -= 1

    # --- functions ---------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = torch_name(func)
        if self.paused or not self.stack or is_fact(name):
            with self.pause():
                return func(*args, **kwargs)
        self.look_around()
        try:
            spelled = spell(func, name, tuple(args), kwargs)
        except Unspoken as missing:
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
        before = self.stamps(args, kwargs)
        with self.pause():
            result = func(*args, **kwargs)
        if spelled.target.form == "attribute" and spelled.target.name == "dtype":
            self.read_dtype(spelled, given, result)
            return result
        target = self.with_effect(spelled.target, given, kwargs)
        result = self.finish(target, given, named, result, before, spelled.in_place)
        self.update(written)
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

    # --- buffers that are written ------------------------------------------------------------------

    def check_written(self, tensor: Any) -> None:
        """Refuse to write a parameter, or what another module holds: a program gives its own buffers new values."""
        names = self.skeleton.tensors.get(id(tensor))
        module = self.stack[-1].scope.module
        path = self.skeleton.path_of(tensor, module) if names is not None else None
        if names is None or path in tensors_of_base(module):
            return
        if path is None or "." in path or isinstance(tensor, nn.Parameter):
            raise self.not_updated(names[0])

    def not_updated(self, name: str) -> SpecError:
        return refuse_at(
            self.position,
            "import-updated",
            f"`{name}` is written while the module runs",
            help="return the new value, or make the module a layer of a plugin",
        )

    def update(self, tensor: Any) -> None:
        """Take note that a buffer of the running module was written."""
        module = self.stack[-1].scope.module
        if id(tensor) in self.skeleton.tensors:
            path = self.skeleton.path_of(tensor, module)
            if path is not None and path not in tensors_of_base(module):
                self.put(path, tensor)

    def put(self, name: str, tensor: Tensor) -> None:
        """Let a buffer have a new value from here on."""
        value = Value("call", shape=tuple(tensor.shape))
        call = Call(Target("update", name, effect=True), (self.value_of(tensor),), {}, value, self.position)
        self.stack[-1].scope.calls.append(call)
        self.bind(tensor, value)

    def put_assigned(self) -> None:
        """Take note of buffers that the running module replaced, and put its own back for what runs later."""
        module = self.stack[-1].scope.module
        for name, own in self.buffers[module].items():
            made = module._buffers.get(name)
            if made is own:
                continue
            if own is None or made is None or made.shape != own.shape or made.dtype != own.dtype:
                raise self.not_updated(name)
            if id(made) in self.stack[-1].known and name not in tensors_of_base(module):
                self.put(name, made)
            module._buffers[name] = own

    def with_effect(self, target: Target, given: Structure, kwargs: Mapping[str, Any]) -> Target:
        """Return the target of a call; a normalisation that follows buffers changes them."""
        follows = target.name in ("batch_norm", "instance_norm") and any(
            value.kind == "state" and value.path in self.stack[-1].scope.module._buffers
            for value in values_in(given)
        )
        training = kwargs.get("training", kwargs.get("use_input_stats", self.mode()))
        return replace(target, effect=True) if follows and training else target

    def mode(self) -> bool:
        return self.stack[-1].scope.module.training

    def read_dtype(self, spelled: Spelled, given: Structure, result: torch.dtype) -> None:
        top = self.stack[-1]
        source = given[0]
        if source.kind == "state" and "." in source.path:
            return  # of a layer that may not have been called before: a program cannot ask it yet
        value = Value("call")
        top.scope.calls.append(Call(spelled.target, given, {}, value, self.position))
        top.dtypes[result] = value

    def finish(
        self,
        target: Target,
        args: Structure,
        kwargs: Mapping[str, Structure],
        result: Any,
        before: set[int],
        in_place: bool,
    ) -> Any:
        """Write a call down, and return its result as the program goes on with it."""
        with self.pause():
            if in_place:
                self.written(result)
            if target.name in SIZES:
                result = self.renumbered(result)
            returned = self.fresh(result, before, in_place)
            structure = self.results(returned)
            self.stack[-1].scope.calls.append(Call(target, args, kwargs, structure, self.position))
            return returned

    def fresh(self, result: Any, before: set[int], in_place: bool) -> Any:
        """Return a result in which no tensor that went in is the same object, unless it was written."""
        if isinstance(result, Tensor):
            if id(result) not in before or in_place:
                return result
            with self.pause():
                return result.view_as(result)
        if type(result) in MAPPED:
            if isinstance(result, dict):
                return {key: self.fresh(each, before, in_place) for key, each in result.items()}
            return type(result)(self.fresh(each, before, in_place) for each in result)
        return result

    def results(self, result: Any) -> Structure:
        """Return a result as new values of the running scope, its numbers in place of those returned."""
        if isinstance(result, Tensor):
            return self.bind(result, Value("call", shape=tuple(result.shape)))
        if isinstance(result, TracedInt | TracedFloat):
            return result.value
        if isinstance(result, Mapping):
            return {str(key): self.results(each) for key, each in result.items()}
        if isinstance(result, tuple | list):
            return tuple(self.results(each) for each in result)
        return result

    # --- numbers -----------------------------------------------------------------------------------

    def own(self, number: Number, value: Value) -> Number:
        """Return a number of the running scope."""
        value.number = plain(number)
        top = self.stack[-1]
        top.owned.add(id(value))
        top.values.append(value)
        return traced(number, value, self)

    def computed(self, name: str, args: tuple[Any, ...], result: Number) -> Number:
        """Take note of arithmetic on numbers whose origin is known."""
        if self.paused or not self.stack or isinstance(result, complex):
            return result
        given = self.structure(args)
        if not any(values_in(given)):
            return result
        value = Value("call")
        form = "operator" if not name.isalpha() else "function"
        self.stack[-1].scope.calls.append(Call(Target(form, name), given, {}, value, self.position))  # type: ignore[arg-type]
        return self.own(result, value)

    # --- values ------------------------------------------------------------------------------------

    def bind(self, tensor: Tensor, value: Value) -> Value:
        self.stack[-1].known[id(tensor)] = (tensor, value, self.writes.get(memory_of(tensor), 0))
        return value

    def structure(self, given: Any) -> Structure:
        """Return arguments with values in the place of tensors and of numbers of known origin."""
        if isinstance(given, Tensor):
            return self.value_of(given)
        if isinstance(given, TracedInt | TracedFloat):
            return self.number_of(given)
        if isinstance(given, slice):
            return slice(*map(self.structure, (given.start, given.stop, given.step)))
        if isinstance(given, Mapping):
            return {key: self.structure(each) for key, each in given.items()}
        if isinstance(given, list):
            return [self.structure(each) for each in given]
        if isinstance(given, tuple):
            return tuple(self.structure(each) for each in given)
        if isinstance(given, torch.dtype):
            return self.stack[-1].dtypes.get(given, given)
        return given

    def number_of(self, number: TracedInt | TracedFloat) -> Value | Number:
        top = self.stack[-1]
        value = number.value
        if id(value) in top.owned:
            return value
        if value.kind == "attribute" and self.skeleton.owner_of.get(id(value)) is top.scope.module:
            return value
        return plain(number)  # type: ignore[no-any-return]

    def value_of(self, tensor: Tensor) -> Value:
        """Return the value that a tensor is in the running scope."""
        top = self.stack[-1]
        found = top.known.get(id(tensor))
        if found is not None:
            if found[2] != self.writes.get(memory_of(tensor), 0):
                raise refuse_at(
                    self.position,
                    "import-written-view",
                    "this tensor was changed in place through another one",
                    help="copy it before: `.clone()`",
                )
            return found[1]
        path = self.skeleton.path_of(tensor, top.scope.module)
        if path is None:
            raise refuse_at(
                self.position,
                "import-outside-tensor",
                f"`{self.skeleton.name_of(top.scope.module)}` uses a tensor that is neither its own nor given to it",
                help="give it to `forward`, or register it as a buffer",
            )
        value = Value("state", path, shape=tuple(tensor.shape))
        return self.bind(tensor, value)

    def stamps(self, *structures: Any) -> set[int]:
        return {id(each) for each in tensors_in(structures)}

    def written(self, result: Any) -> None:
        """Take note that the memory of a tensor was written: what else lies in it is no longer what it was."""
        for each in tensors_in(result):
            memory = memory_of(each)
            self.writes[memory] = self.writes.get(memory, 0) + 1

    # --- modules -----------------------------------------------------------------------------------

    def enter(
        self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], run: Callable[..., Any]
    ) -> Any:
        """Run a module that is called, as a layer or as a scope of its own."""
        if self.paused or module not in self.skeleton.modules or (self.stack and is_loop(module)):
            return run(module, *args, **kwargs)
        if self.stack:
            self.look_around(entering=True)
        if isinstance(module, ParametrizationList):
            return self.read_parametrized(module, run)
        if is_leaf(module):
            return self.enter_layer(module, args, kwargs, run)
        return self.enter_scope(module, args, kwargs, run)

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
        path = self.skeleton.path_between(inside, module)
        if path is None:
            raise refuse_at(
                self.position,
                "import-outside-module",
                f"`{self.skeleton.name_of(inside)}` calls `{self.skeleton.name_of(module)}`, which is no part of it",
                help="call it in the module that holds both",
            )
        return Target("module", path, module)

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
                inner = {key: self.received(key, each) for key, each in bound.items()}
            result = run(module, *inner.pop("*", ()), **inner)
            result = unpacked(result)
            with self.pause():
                opened.scope.result = self.structure(result)
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
        if any(call.target.effect for call in opened.scope.calls):
            target = replace(target, effect=True)
        if self.writes != changed:  # it returns an input that it wrote: no other object
            before -= {id(each) for each in tensors_in(result)}
        return self.finish(target, (), given, self.renumbered(result), before, in_place=False)

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

    def renumbered(self, result: Any) -> Any:
        """Return what a scope returned, its numbers now those of the scope around it."""
        if isinstance(result, int | float) and not isinstance(result, bool):
            return self.own(plain(result), Value("call"))
        if type(result) in (tuple, list, torch.Size):
            return type(result)(self.renumbered(each) for each in result)
        return result

    def received(self, name: str, given: Any) -> Any:
        """Return an argument as the running scope sees it: tensors and numbers are its inputs."""
        if name == "*":
            return tuple(self.received(f"input{number}", each) for number, each in enumerate(given))
        top = self.stack[-1]
        value = Value("input", name)
        received = self.opened(given, value)
        if holds_values(given):
            top.scope.inputs[name] = value
        return received

    def opened(self, given: Any, value: Value) -> Any:
        top = self.stack[-1]
        if isinstance(given, Tensor):
            value.shape = tuple(given.shape)
            self.bind(given, value)
        elif isinstance(given, int | float) and not isinstance(given, bool):
            return self.own(plain(given), value)
        elif isinstance(given, tuple | list | dict) and holds_values(given):
            keys = list(given) if isinstance(given, dict) else range(len(given))
            made = {}
            for key in keys:
                part = Value("call")
                top.scope.calls.append(Call(Target("item", "[]"), (value, key), {}, part, self.position))
                made[key] = self.opened(given[key], part)
            return type(given)(made) if isinstance(given, dict) else type(given)(made.values())
        return given

    # --- the author's words ------------------------------------------------------------------------

    def look_around(self, entering: bool = False) -> None:
        """Take note of where the author's program is, and how it calls its values."""
        frames = author_frames(entering)
        self.position = position_of(frames[0]) if frames else None
        top = self.stack[-1]
        for frame in reversed(frames):
            for name, each in frame.f_locals.items():
                if isinstance(each, nn.Module):
                    self.words.setdefault(each, name)
                if isinstance(each, Tensor):
                    found = top.known.get(id(each))
                    if found is not None and name not in found[1].names:
                        found[1].names.append(name)
                elif isinstance(each, TracedInt | TracedFloat) and id(each.value) in top.owned:
                    names = each.value.names
                    names.extend([name] if name not in names else [])
