"""The models of a document -> one JSON Schema (draft 7, which editors know).

pydantic's own schema says what each mapping holds. What it cannot know is put in here: which form a layer position
has, by its keys; that a key which is not listed is refused; and what each layer takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.catalogue.layer_types import LayerType
from compiler.json_schema.layers import Schema, long_call
from spec_schema.document import Document
from spec_schema.layer_nodes import NODE_KEYS
from spec_schema.names import IDENTIFIER

DESCRIPTION = "A spec of Blockprint. Names, expressions and shapes are for `python -m compiler check`."
NODE, ITEM, BODY = "Node", "Item", "BlockBody"
_NAME = IDENTIFIER.pattern.removesuffix(r"\Z")
IDENTIFIERS = f"^{_NAME}$"
SIGNATURES = r"^[A-Za-z][A-Za-z0-9_]*\s*(\([\s\S]*\))?$"
PROGRAM: Schema = {"type": "string", "description": "a program: statements, the last of which returns"}
_FORMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("repeat", "splice"), "SplicedRepeat"),
    (("repeat",), "Repeat"),
    (("parallel",), "Parallel"),
    (("residual",), "Residual"),
    (("if", "splice"), "SplicedChoice"),
    (("if",), "Choice"),
    (("layer",), "LongCall"),
)
"""The forms of a mapping in a layer position, by the keys that tell them, the first one that fits."""
_OPEN = ("LongCall", "Data", "NamedItem")
"""Mappings with keys that people give."""


def language_schema(layers: Mapping[str, LayerType]) -> Schema:
    """Return the JSON Schema of specs that may name some layers."""
    made = Document.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = {name: _cleaned(each) for name, each in made.pop("$defs").items()}
    root = _closed("Document", _cleaned(made))
    definitions = {name: _closed(name, each) for name, each in definitions.items()}
    definitions |= _positions(long_call(layers))
    definitions["Body"]["patternProperties"] = {r"^forward\s*(\([\s\S]*\))?$": PROGRAM}
    properties = root["properties"]
    properties["spec"] = {"const": 1, "description": "the version of the language"}
    properties["blocks"] |= {"propertyNames": {"pattern": SIGNATURES}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "description": DESCRIPTION,
        **{key: value for key, value in root.items() if key not in ("title", "description")},
        "dependencies": {"model": ["inputs"]},
        "definitions": definitions,
    }


def _closed(name: str, schema: Schema) -> Schema:
    """Return the schema of a mapping that takes the keys that it lists, and no others."""
    is_open = name in _OPEN or "properties" not in schema
    return schema if is_open else {**schema, "additionalProperties": False}


def _cleaned(schema: Any) -> Any:
    """Return a schema of pydantic without what says nothing, and with names for what may stand for a layer."""
    if isinstance(schema, list):
        return [_cleaned(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    for key in ("oneOf", "anyOf"):
        if key in schema and (name := _position(schema[key])):
            return {"$ref": f"#/definitions/{name}"}
    found = {
        key: _cleaned(each)
        for key, each in schema.items()
        if key not in ("default", "title", "discriminator")
    }
    choices = found.pop("oneOf", None) or found.pop("anyOf", None)
    if choices is not None:
        choices = [each for each in choices if each != {"type": "null"}]
        found |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return found


def _position(choices: Sequence[Any]) -> str | None:
    """Return the name of what may stand in a layer position, or as the body of a block."""
    names = {str(each.get("$ref", "")).rpartition("/")[2] for each in choices if isinstance(each, dict)}
    if "LongCall" not in names:
        return None
    return BODY if "Body" in names else NODE


def _positions(call: Schema) -> Schema:
    """Return the schemas of layer positions: a call, a list, or a mapping that its keys tell."""
    layer: Schema = {
        "type": "string",
        "description": "a layer, a block or an operation: Linear(10), ReLU, flatten(1)",
    }
    items: Schema = {"type": "array", "items": {"$ref": f"#/definitions/{ITEM}"}, "description": "a sequence"}
    is_form = {"type": "object", "anyOf": [{"required": [key]} for key in NODE_KEYS]}
    named: Schema = {
        "type": "object",
        "description": "name: layer, an item of a sequence",
        **{"minProperties": 1, "maxProperties": 1, "additionalProperties": {"$ref": f"#/definitions/{NODE}"}},
    }
    body: Schema = {"anyOf": [layer, items, {"$ref": "#/definitions/Body"}]}
    return {
        "LongCall": call,
        "SequenceNode": items,
        "NamedItem": named,
        NODE: {"if": {"type": "object"}, "then": _form(_FORMS), "else": {"anyOf": [layer, items]}},
        ITEM: {
            "if": {"anyOf": [{"not": {"type": "object"}}, is_form]},
            **{"then": {"$ref": f"#/definitions/{NODE}"}, "else": {"$ref": "#/definitions/NamedItem"}},
        },
        BODY: {"if": is_form, "then": {"$ref": f"#/definitions/{NODE}"}, "else": body},
    }


def _form(forms: Sequence[tuple[tuple[str, ...], str]]) -> Schema:
    """Return the schema of a mapping that stands for a layer."""
    if not forms:
        return {
            "required": ["layer"],
            "description": f"a mapping with one of the keys {', '.join(NODE_KEYS)}",
        }
    (keys, name), *rest = forms
    return {"if": {"required": [*keys]}, "then": {"$ref": f"#/definitions/{name}"}, "else": _form(rest)}
