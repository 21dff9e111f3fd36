"""What runs: the scopes that are open, and which value each tensor and number in them is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from runtime.importing.functions import (
    DRAWING,
    SHAPED,
    Spelled,
)
from runtime.importing.positions import author_frames, position_of, refuse_at, said
from runtime.importing.records import (
    Call,
    Position,
    Scope,
    Structure,
    Target,
    Value,
    is_fixed,
    values_in,
)
from runtime.importing.sizes import Number, TracedFloat, TracedInt, plain, traced
from runtime.importing.skeleton import Skeleton
from runtime.importing.structures import (
    holds_values,
    memory_of,
    replaced,
    single,
    tensors_in,
    unpacked,
)

SIZES = frozenset({"shape", "size", "numel", "nelement"})
"""Operations that return sizes of tensors."""


class Opened:
    """A scope that is running: which value each tensor in it is."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.known: dict[int, tuple[Tensor, Value, int]] = {}
        """Tensor -> it, kept alive; its value; how often its memory had been written when it was seen."""
        self.views: dict[int, tuple[Tensor, Any, Tensor]] = {}
        """Tensor -> what it is an item of, the index, and it, kept alive."""
        self.owned: set[int] = set()
        """The numbers of this scope, by the identity of their values."""
        self.values: list[Value] = []
        self.dtypes: dict[torch.dtype, Value] = {}
        self.called: Counter[nn.Module] = Counter()
        """How often each module was called: one that has several names is called by them in turn."""


class Running(TorchFunctionMode):
    """The scopes of a run, the innermost last, with the calls and values in them."""

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
        self.looks: dict[Position, None] = {}
        self.open_modules: frozenset[nn.Module] = frozenset()
        self.buffers = {module: dict(module._buffers) for module in skeleton.modules}
        self.paused = 0
        self.position: Position | None = None

    @contextmanager
    def pause(self) -> Iterator[None]:
        self.paused += 1
        try:
            yield
        finally:
            self.paused -= 1

    def mode(self) -> bool:
        return self.stack[-1].scope.module.training

    def stamps(self, *structures: Any) -> set[int]:
        return {id(each) for each in tensors_in(structures)}

    def written(self, result: Any) -> None:
        """Take note that the memory of a tensor was written: what else lies in it is no longer what it was."""
        for each in tensors_in(result):
            memory = memory_of(each)
            self.writes[memory] = self.writes.get(memory, 0) + 1

    # --- calls -------------------------------------------------------------------------------------

    def finish(
        self,
        target: Target,
        args: Structure,
        kwargs: Mapping[str, Structure],
        result: Any,
        before: set[int],
        in_place: bool,
        known: bool | None = None,
    ) -> Any:
        """Write a call down, and return its result as the program goes on with it."""
        with self.pause():
            if in_place:
                self.written(result)
            if target.name in SIZES:
                result = self.renumbered(result)
            returned = self.fresh(result, before, in_place)
            drawn = target.name.startswith(DRAWING)
            computed = target.module is None and not drawn and is_fixed((args, kwargs))
            fixed = target.name in SHAPED or computed
            # A block of a spec returns a lone tensor as it is.
            whole = returned if known is None else single(returned)
            structure = self.results(whole, fixed if known is None else known)
            self.stack[-1].scope.calls.append(Call(target, args, kwargs, structure, self.position))
            return returned

    def fresh(self, result: Any, before: set[int], in_place: bool) -> Any:
        """Return a result in which no tensor that went in is the same object, unless it was written."""
        if isinstance(result, Tensor):
            if id(result) not in before or in_place:
                return result
            with self.pause():
                return result.view_as(result)
        return replaced(result, lambda each: self.fresh(each, before, in_place))

    def results(self, result: Any, fixed: bool) -> Structure:
        """Return a result as new values of the running scope, its numbers in place of those returned."""
        if isinstance(result, Tensor):
            return self.bind(result, Value("call", shape=tuple(result.shape), fixed=fixed))
        if isinstance(result, TracedInt | TracedFloat):
            return result.value
        result = unpacked(result)
        if isinstance(result, Mapping):
            return {str(key): self.results(each, fixed) for key, each in result.items()}
        if isinstance(result, tuple | list):
            return tuple(self.results(each, fixed) for each in result)
        return result

    def renumbered(self, result: Any) -> Any:
        """Return what a scope returned, its numbers now those of the scope around it."""
        if isinstance(result, int | float) and not isinstance(result, bool):
            return self.own(plain(result), Value("call"))
        return replaced(result, self.renumbered)

    def read_dtype(self, spelled: Spelled, given: Structure, result: torch.dtype) -> None:
        top = self.stack[-1]
        source = given[0]
        if source.kind == "state" and "." in source.path:
            return  # of a layer that may not have been called before: a program cannot ask it yet
        value = Value("call", fixed=True)
        top.scope.calls.append(Call(spelled.target, given, {}, value, self.position))
        top.dtypes[result] = value

    # --- numbers -----------------------------------------------------------------------------------

    def own(self, number: Number, value: Value) -> Number:
        """Return a number of the running scope."""
        value.number, value.fixed = plain(number), True
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

    def number_of(self, number: TracedInt | TracedFloat) -> Value | Number:
        top = self.stack[-1]
        value = number.value
        if id(value) in top.owned:
            return value
        if value.kind == "attribute" and self.skeleton.owner_of.get(id(value)) is top.scope.module:
            return value
        return plain(number)  # type: ignore[no-any-return]

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
        given = unpacked(given)
        if isinstance(given, Mapping):
            return {key: self.structure(each) for key, each in given.items()}
        if isinstance(given, list):
            return [self.structure(each) for each in given]
        if isinstance(given, tuple):
            return tuple(self.structure(each) for each in given)
        if isinstance(given, numpy.number | numpy.bool_):
            return given.item()
        if isinstance(given, numpy.ndarray):
            text = "the language has no operation that takes an array of numpy"
            raise refuse_at(self.position, "import-operation", text)
        if isinstance(given, torch.dtype):
            return given if said(self.position, given) else self.stack[-1].dtypes.get(given, given)
        return given

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

    def received(self, name: str, given: Any, fixed: bool = False) -> Any:
        """Return an argument as the running scope sees it: tensors and numbers are its inputs."""
        if name == "*":
            return tuple(self.received(f"input{number}", each, fixed) for number, each in enumerate(given))
        top = self.stack[-1]
        value = Value("input", name, fixed=fixed)
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
            value.parts = len(given)
            made = {}
            for key in keys:
                part = Value("call", fixed=value.fixed)
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
                elif type(each) is tuple and each and all(isinstance(one, Tensor) for one in each):
                    found = top.known.get(id(each[0]))
                    if found is not None and name not in found[1].wholes:
                        found[1].wholes.append(name)
                elif isinstance(each, TracedInt | TracedFloat) and id(each.value) in top.owned:
                    names = each.value.names
                    names.extend([name] if name not in names else [])
