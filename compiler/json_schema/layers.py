"""The JSON Schema of a layer as a mapping, with all that it takes: `{layer: Conv2d, out_channels: 64}`."""

from __future__ import annotations

import collections.abc
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from compiler.catalogue.annotations import accepted, describe
from compiler.catalogue.docstrings import first_sentence
from compiler.catalogue.layer_types import REQUIRED, Argument, LayerType, positional
from compiler.catalogue.layers import layer_documentation

Schema = dict[str, Any]

EXPRESSION: Schema = {"type": "string", "pattern": r"^\$\{[\s\S]*\}$"}
"""An expression over variables, where anything else is a text."""
_LISTS = (
    *(list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection),
    set,
)
_TYPES: Mapping[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
}


def long_call(layers: Mapping[str, LayerType]) -> Schema:
    """Return the schema of a call as a mapping. A name that is no known layer may be that of a block."""
    known: Schema = {"enum": sorted(layers), "description": "a layer of torch.nn or of a plugin"}
    block: Schema = {"type": "string", "description": "a block, or an operation"}
    return {
        "type": "object",
        "description": "a layer or block whose arguments are keys",
        "required": ["layer"],
        "properties": {"layer": {"anyOf": [known, block]}},
        "allOf": [_of_layer(layer) for _, layer in sorted(layers.items())],
    }


def _of_layer(layer: LayerType) -> Schema:
    required = [each.name for each in positional(layer) if each.default is REQUIRED]
    described = {"description": first_sentence(layer_documentation(layer), layer.name)}
    properties = {each.name: _argument(each) for each in layer.arguments}
    return {
        "if": {"required": ["layer"], "properties": {"layer": {"const": layer.name}}},
        "then": {
            "required": ["layer", *required],
            "properties": {"layer": described, **properties},
            "additionalProperties": False,
        },
    }


def _argument(argument: Argument) -> Schema:
    annotation = accepted(argument)
    words = describe(annotation).replace("Any", "any value")
    if argument.deferred is not None:
        words = f"{words}; follows from the input"
    elif argument.default is not REQUIRED:
        words = (
            f"{words}; {getattr(argument.default, '__name__', None) or repr(argument.default)} if left out"
        )
    alternatives = _alternatives(annotation)
    if alternatives is None or (argument.default is not REQUIRED and not _is_plain(argument.default)):
        return {"description": words}
    if argument.default is None and {"type": "null"} not in alternatives:
        alternatives.append({"type": "null"})
    if any(each.get("type") == "string" and "pattern" not in each for each in alternatives):
        return {"description": words, "anyOf": alternatives}
    return {"description": words, "anyOf": [*alternatives, EXPRESSION]}


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _alternatives(annotation: Any) -> list[Schema] | None:
    """Return the schemas of an annotation, None where it may be anything."""
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        parts = [_alternatives(each) for each in typing.get_args(annotation)]
        return None if None in parts else [each for part in parts for each in part or ()]
    if origin is Literal:
        return [{"enum": list(typing.get_args(annotation))}]
    if annotation in _TYPES:
        return [{"type": _TYPES[annotation]}]
    if annotation is None:
        return [{"type": "null"}]
    if (origin or annotation) in _LISTS:
        return [{"type": "array"}]
    return None
