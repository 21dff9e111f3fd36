"""The inputs of a block without a program: those of its first layer, to which it hands them on."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable
from dataclasses import replace
from weakref import WeakKeyDictionary

from compiler.infer.states import BlockState, Leaf, State
from compiler.program import Definition, Input, ModuleBody, SequenceBody
from compiler.resolve.values import free_names
from spec_schema.source import Span

_made: WeakKeyDictionary[Definition, dict[Hashable, Definition]] = WeakKeyDictionary()


def handing_on(definition: Definition, children: Iterable[State]) -> Definition:
    """Return a block with the inputs that it hands on, the same one for the same inputs; the block itself for one."""
    first = next(iter(children), None)
    if first is None or definition.is_root or not _runs_in_order(definition):
        return definition
    inputs = _inputs(first, definition.span)
    if len(inputs) < 2:
        return definition
    key = tuple((entry.name, str(entry.default)) for entry in inputs)
    return _made.setdefault(definition, {}).setdefault(key, replace(definition, inputs=inputs))


def _runs_in_order(definition: Definition) -> bool:
    """Return whether the layers of a block run one after the other, for no program says otherwise."""
    body = definition.body
    return isinstance(body, SequenceBody) or (
        isinstance(body, ModuleBody) and body.program is None and not body.tensors
    )


def _inputs(first: State, place: Span) -> tuple[Input, ...]:
    """Return what a layer takes: of a layer of the catalogue what it needs, of a block all up to what it computes."""
    if isinstance(first, Leaf):
        taken = list(inspect.signature(first.layer.cls.forward).parameters.values())[1:]
        needed = [
            each for each in taken if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
        ]
        return tuple(Input(each.name, None, place) for each in needed)
    inputs = first.definition.inputs if isinstance(first, BlockState) else ()
    computed = [at for at, each in enumerate(inputs) if each.default is not None and free_names(each.default)]
    return inputs[: computed[0]] if computed else inputs
