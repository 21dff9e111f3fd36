"""Calls as mappings, `{layer: Conv2d, out_channels: 64}`, and mappings as calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from compiler.artifact import Artifact
from compiler.catalogue.layer_types import REQUIRED, LayerType, positional
from compiler.catalogue.layers import layer_type
from compiler.program import Argument, Call, Definition, ValueTree
from compiler.resolve.calls import calls_of
from compiler.rewriting.edits import Edit, Editable
from spec_schema.grammar import Expression
from spec_schema.layer_nodes import NODE_KEYS


def calls_in(spec: Editable, artifact: Artifact) -> Iterator[tuple[Definition, Call]]:
    """Yield the calls in layer positions of a spec's own text, each once, with the block that it stands in."""
    program = artifact.program
    seen: set[int] = set()
    for block in (*program.scope.blocks.values(), program.model):
        for call in calls_of(block):
            if spec.holds(call.span) and call.span.start not in seen:
                seen.add(call.span.start)
                yield block, call


def is_long(call: Call) -> bool:
    """Return whether a call is written as a mapping."""
    return call.span.start != call.target_span.start


def longer(spec: Editable, artifact: Artifact) -> list[Edit]:
    """Return the edits that write all calls of layers and blocks as mappings."""
    found = []
    for _, call in calls_in(spec, artifact):
        leaf = spec.leaf_at(call.span.start)
        names = positional_names(call)
        if is_long(call) or leaf is None or leaf.text.strip() != call.span.text or names is None:
            continue
        pairs = {each.name or names[at]: _long_value(each.value) for at, each in enumerate(call.arguments)}
        if pairs.keys() & {*NODE_KEYS, "splice"}:
            continue  # the mapping would be something else
        found.append(Edit(leaf.start, leaf.end, spec.written({"layer": call.target, **pairs})))
    return found


def shorter(spec: Editable, artifact: Artifact) -> list[Edit]:
    """Return the edits that write all mappings of a call as calls. One with comments inside stays."""
    return [
        Edit(call.span.start, call.span.end, spec.written(call_text(call)))
        for _, call in calls_in(spec, artifact)
        if is_long(call) and not spec.has_comment(call.span.start, call.span.end)
    ]


def positional_names(call: Call) -> list[str] | None:
    """Return what the arguments without names of a call are called, None where nothing tells."""
    if call.kind == "block":
        return [parameter.name for parameter in call.scope.blocks[call.target].parameters]
    if call.kind == "layer":
        return [each.name for each in positional(_layer(call))]
    return None


def _layer(call: Call) -> LayerType:
    found = call.scope.plugins.layers.get(call.target)
    return layer_type(call.target) if found is None else found


def _long_value(value: ValueTree) -> object:
    """Return an argument as it stands in a mapping."""
    if not isinstance(value, Expression):
        return [_long_value(part) for part in value]
    if isinstance(value.tree, ast.Constant) and not (
        isinstance(value.tree.value, str) and value.tree.value.startswith("${")
    ):
        return value.tree.value
    if isinstance(value.tree, ast.List):
        return [_long_value(value.part(each)) for each in value.tree.elts]
    return f"${{{value.place.text}}}"


def call_text(call: Call) -> str:
    """Return a call as people write it: what it cannot do without by position, the rest by name."""
    first = _required(call)
    given = {str(each.name): each for each in call.arguments}
    leading: list[str] = []
    for name in first:
        if name not in given:
            break
        leading.append(name)
    texts = [short_value(given[name].value) for name in leading]
    texts += [f"{name}={short_value(each.value)}" for name, each in given.items() if name not in leading]
    return f"{call.target}({', '.join(texts)})" if texts else call.target


def _required(call: Call) -> list[str]:
    if call.kind == "block":
        parameters = call.scope.blocks[call.target].parameters
        return [parameter.name for parameter in parameters if parameter.default is None]
    if call.kind == "layer":
        return [each.name for each in positional(_layer(call)) if each.default is REQUIRED]
    return []


def short_value(value: ValueTree) -> str:
    """Return an argument as it stands in a call."""
    if not isinstance(value, Expression):
        return f"[{', '.join(map(short_value, value))}]"
    return ast.unparse(value.tree)


def given_names(call: Call) -> set[str]:
    """Return the names of the arguments that a call gives."""
    names = positional_names(call) or []
    return {_name(each, at, names) for at, each in enumerate(call.arguments)}


def _name(argument: Argument, at: int, names: list[str]) -> str:
    return argument.name or (names[at] if at < len(names) else "")
