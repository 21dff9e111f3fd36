"""Inferred sizes and defaults of layers, written out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.artifact import Artifact
from compiler.catalogue.layer_types import REQUIRED, LayerType
from compiler.emit.other_values import SCHEMES, OtherValues
from compiler.infer.infer import Inferred, infer_again
from compiler.infer.states import BlockState, Chain, Leaf, State
from compiler.program import Call
from compiler.resolve.program import with_variables
from compiler.rewriting.edits import Edit, Editable
from compiler.rewriting.long_form import calls_in, given_names, is_long
from spec_schema.diagnostics import SpecError

_MOST = 4096
"""The largest factor of an expression such as `49 * width`."""


@dataclass(frozen=True, eq=False)
class Made:
    """A layer that a call has made, with the names that its arguments may use there."""

    leaf: Leaf
    names: Mapping[str, object]


def expanded(spec: Editable, artifact: Artifact) -> list[Edit]:
    """Return the edits that write out what each layer gets. A size that no simple expression has stays inferred."""
    made: dict[int, list[Made]] = {}
    for inferred in _runs(artifact):
        for each in _made(inferred, inferred.root, {}):
            made.setdefault(id(each.leaf.node), []).append(each)
    edits: list[Edit] = []
    for _, call in calls_in(spec, artifact):
        if call.kind == "layer" and id(call) in made:
            edits += _edit(spec, call, made[id(call)])
    return edits


def _runs(artifact: Artifact) -> Iterator[Inferred]:
    """Yield the model at the values of its variables, and at others, which show what follows from what."""
    yield artifact.inferred
    program = artifact.program
    trees = program.scope.variable_trees
    names = [name for name, tree in trees.items() if isinstance(program.variables[name], int)]
    names = [name for name in names if not isinstance(program.variables[name], bool)]
    for scheme in SCHEMES if names else ():
        try:
            other = with_variables(program, OtherValues(program).changed(names, scheme))
            yield infer_again(other, artifact.inferred.limits, artifact.inferred.dtype)
        except SpecError:
            continue


def _made(inferred: Inferred, state: State, names: Mapping[str, object]) -> Iterator[Made]:
    match state:
        case Leaf():
            yield Made(state, names)
        case Chain():
            for each in state.states:
                yield from _made(inferred, each, names)
        case BlockState():
            own = {**inferred.program.variables_of(state.definition.scope), **state.values}
            for each in state.children.values():
                yield from _made(inferred, each, own)


def _edit(spec: Editable, call: Call, made: list[Made]) -> Iterator[Edit]:
    """Yield the edit of one call, if anything is added to it."""
    pairs = list(_added(call, made))
    leaf = spec.leaf_at(call.span.start)
    if not pairs or leaf is None:
        return
    if is_long(call):
        return
    if leaf.text.strip() != call.span.text:
        return
    texts = [f"{name}={value}" for name, value in pairs]
    written = call.span.text.rstrip()
    opened = "(" if call.is_bare else ", " if call.arguments else ""
    body = written if call.is_bare else written.removesuffix(")").rstrip().removesuffix(",")
    yield Edit(leaf.start, leaf.end, spec.written(f"{body}{opened}{', '.join(texts)})"))


def _added(call: Call, made: list[Made]) -> Iterator[tuple[str, str]]:
    """Yield the arguments that a call does not write, with their values as text."""
    layer: LayerType = made[0].leaf.layer
    given = given_names(call)
    for argument in layer.arguments:
        if argument.name in given or not all(each.leaf.layer is layer for each in made):
            continue
        inferred = [each.leaf.inferred.get(argument.name) for each in made]
        if argument.deferred is not None and None not in inferred:
            text = _expression(list(zip(inferred, made, strict=True)))
        elif argument.deferred is None and argument.default is not REQUIRED:
            text = _literal(argument.default)
        else:
            text = None
        if text is not None:
            yield argument.name, text


def _literal(value: object) -> str | None:
    """Return a default as it is written in a call, None if it cannot be."""
    if isinstance(value, tuple | list):
        items = [_literal(each) for each in value]
        return None if None in items else f"[{', '.join(map(str, items))}]"
    plain = value is None or isinstance(value, bool | int | str)
    return (
        repr(value) if plain or (isinstance(value, float) and value == value and abs(value) < 1e300) else None
    )


def _expression(pairs: list[tuple[Any, Made]]) -> str | None:
    """Return what has the given value wherever the layer is made: a number, a name, or a multiple of one."""
    first, values = pairs[0][0], [value for value, _ in pairs]
    if all(value == first for value in values):
        return _literal(list(first) if isinstance(first, tuple) else first)
    if not all(isinstance(value, int) for value in values):
        return None
    for name, given in sorted(pairs[0][1].names.items(), key=lambda pair: pair[1] != first):
        if type(given) is not int or given <= 0 or first % given or first // given > _MOST:
            continue
        factor = first // given
        if all(
            made.names.get(name) is not None and made.names[name] * factor == value for value, made in pairs
        ):
            return name if factor == 1 else f"{factor} * {name}"
    return None
