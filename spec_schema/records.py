"""What the models of a spec document are made of: kinds of scalars, and mappings that keep where each key stands."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from spec_schema.keys import is_key, split_key
from spec_schema.names import is_name
from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.source import Span


class Kind:
    """Annotates a `Scalar` field with the kinds of scalar that it takes."""

    def __init__(self, what: str, *types: type, identifier: bool = False) -> None:
        self.what, self.types, self.identifier = what, types, identifier

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
        kinds = [names[kind] for kind in self.types]
        return {"type": kinds[0] if len(kinds) == 1 else kinds, "description": self.what}

    def _validate(self, value: Any) -> Scalar:
        if not isinstance(value, Scalar) or type(value.value) not in self.types:
            raise PydanticCustomError("wrong-type", "{what} is expected here", {"what": self.what})
        if self.identifier:
            _check_identifier(str(value.value))
        return value


def _check_identifier(name: str) -> str:
    if not is_name(name):
        raise PydanticCustomError("bad-name", "this cannot be a name")
    return name


def _check_key(written: str) -> str:
    key, name = split_key(written)
    if not is_key(key, is_named=name is not None) or (name is not None and not is_name(name)):
        raise PydanticCustomError("bad-key", "this cannot be the key of a layer")
    return written


Text = Annotated[Scalar, Kind("a text", str)]
LayerText = Annotated[Scalar, Kind("a layer", str)]
OperationText = Annotated[Scalar, Kind("an operation", str)]
TensorText = Annotated[Scalar, Kind("a tensor type", str)]
SelectorText = Annotated[Scalar, Kind("a selector", str)]
Name = Annotated[Scalar, Kind("a name", str, identifier=True)]
ExpressionText = Annotated[Scalar, Kind("an expression", str, int, float, bool)]
Whole = Annotated[Scalar, Kind("a whole number", int)]
Flag = Annotated[Scalar, Kind("true or false", bool)]
Identifier = Annotated[str, AfterValidator(_check_identifier)]
LayerKey = Annotated[str, AfterValidator(_check_key)]
ItemName = Annotated[str, AfterValidator(lambda name: name if "{" in name else _check_key(name))]


def placed(cls: type, data: Any, handler: Any, wanted: type[Entries] | type[Items], what: str) -> Any:
    """Validate a collection, and keep the positioned original beside the result."""
    if not isinstance(data, wanted):
        raise PydanticCustomError("wrong-type", "{what} is expected here", {"what": what})
    model = handler(dict(data) if isinstance(data, Entries) else list(data))
    model._source = data
    return model


def short_or_long(value: Any) -> str:
    """Return the tag of a value in a union of a short form and a long one, which is a mapping."""
    return "@long" if isinstance(value, Entries) else "@short"


strangers: ContextVar[list[tuple[Scalar, list[str]]]] = ContextVar("strangers")
"""Collects, during a validation, each key that its mapping does not take, with the keys that it takes."""


class Record(BaseModel):
    """A mapping with known keys. A key that it does not take is noted in `strangers`, not passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True)
    _source: Entries = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _keep_source(cls, data: Any, handler: Any) -> Any:
        if isinstance(data, Entries):
            known = cls.known_keys()
            strangers.get().extend((data.keys_at[key], known) for key in data if not cls.takes(key, known))
        return placed(cls, data, handler, Entries, "a mapping")

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that the mapping takes, its own before those of its bases."""
        own = [name for name in cls.model_fields if name in cls.__annotations__]
        names = dict.fromkeys([*own, *cls.model_fields])
        return [cls.model_fields[name].alias or name for name in names]

    @classmethod
    def takes(cls, key: str, known: list[str]) -> bool:
        """Return whether the mapping takes a key."""
        return key in known

    @property
    def span(self) -> Span:
        return self._source.span

    def has(self, key: str) -> bool:
        """Return whether a key was written."""
        return key in self._source

    def at(self, key: str) -> Span:
        """Return the place of a key that was written."""
        return self._source.keys_at[key].span

    def source(self, key: str) -> Node:
        """Return the positioned value of a key that was written."""
        return self._source[key]

    def table(self, key: str) -> Entries:
        """Return the positioned mapping under a key that was written."""
        value = self._source[key]
        assert isinstance(value, Entries)
        return value

    def keys_of(self, key: str) -> dict[str, Scalar]:
        """Return the positioned keys of a mapping under `key`; empty if it was not written."""
        value = self._source.get(key)
        return value.keys_at if isinstance(value, Entries) else {}
