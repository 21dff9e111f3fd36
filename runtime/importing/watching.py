"""Each call of a module, seen by a recorder: the one place where torch's own methods are exchanged for a while."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from runtime.importing.caches import without_caches
from runtime.importing.leaves import base_layer
from runtime.importing.positions import position_of_error, refuse_at
from runtime.importing.recording import Recorder, ValuesNeeded
from runtime.importing.records import Record, Target
from runtime.importing.skeleton import Skeleton
from runtime.importing.structures import shapes_of
from spec_schema.diagnostics import SpecError


def base_call(recorder: Recorder, module: nn.Module, args: Sequence[Any], run: Callable[..., Any]) -> Any:
    """Run the layer that a module extends."""
    recorder.look_around()
    before = recorder.stamps(args)
    with recorder.pause():
        given = recorder.structure(tuple(args))
        recorder.layer_inputs.setdefault(module, shapes_of(args))
        result = run(module, *args)
    return recorder.finish(Target("base", "base", module), given, {}, result, before, in_place=False)


@contextmanager
def watched(recorder: Recorder) -> Iterator[None]:
    """Let a recorder see each call of a module, and of a layer that one extends."""
    called = nn.Module.__call__

    def call_module(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return recorder.enter(self, args, kwargs, called)

    bases = {base for module in recorder.skeleton.modules if (base := base_layer(module)) is not None}
    forwards = {base: base.forward for base in bases}
    recorder.forwards = forwards

    def based(forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            inside = recorder.stack and recorder.stack[-1].scope.module is self
            if recorder.paused or not inside or kwargs:
                return forward(self, *args, **kwargs)
            return base_call(recorder, self, args, forward)

        return run

    nn.Module.__call__ = call_module  # type: ignore[method-assign]
    for base, forward in forwards.items():
        base.forward = based(forward)
    try:
        with einops_watched(recorder):
            yield
    finally:
        nn.Module.__call__ = called  # type: ignore[method-assign]
        for base, forward in forwards.items():
            base.forward = forward


@contextmanager
def einops_watched(recorder: Recorder) -> Iterator[None]:
    """Let a recorder see `rearrange` and its kin as one call each, where the package is in use."""
    package = sys.modules.get("einops.einops")
    if package is None:
        yield
        return
    reduce = package.reduce

    def watched_reduce(tensor: Any, pattern: str, reduction: Any, **sizes: Any) -> Any:
        if recorder.paused or not recorder.stack or not isinstance(reduction, str):
            return reduce(tensor, pattern, reduction, **sizes)
        recorder.look_around()
        name = reduction if reduction in ("rearrange", "repeat") else "reduce"
        args = (tensor, pattern) if name == reduction else (tensor, pattern, reduction)
        with recorder.pause():
            given, named = recorder.structure(args), recorder.structure(sizes)
            result = reduce(tensor, pattern, reduction, **sizes)
        return recorder.finish(
            Target("function", name), given, named, result, recorder.stamps(tensor), in_place=False
        )

    package.reduce = watched_reduce  # type: ignore[attr-defined]
    try:
        yield
    finally:
        package.reduce = reduce  # type: ignore[attr-defined]


def record(
    skeleton: Skeleton,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    training: bool,
    open_modules: frozenset[nn.Module] = frozenset(),
) -> Record:
    """Run a skeleton on inputs, and return what it did; what open modules do is done by those that call them."""
    skeleton.root.train(training)
    recorder = Recorder(skeleton)
    recorder.open_modules = open_modules
    skeleton.trace_numbers(recorder)
    try:
        with (
            without_caches(skeleton.root),
            torch.no_grad(),
            watched(recorder),
            torch.device(skeleton.device),
            recorder,
        ):
            skeleton.root(*args, **kwargs)
    except (SpecError, ValuesNeeded):
        raise
    except Exception as error:
        if skeleton.device == "meta":
            raise ValuesNeeded from error
        said = str(error).split("\n")[0] or type(error).__name__
        raise refuse_at(
            position_of_error(error),
            "import-failed",
            f"the module raises {type(error).__name__}: {said}",
        ) from error
    return recorder.record()
