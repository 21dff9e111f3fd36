"""The pydantic models of what a layer position may hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, PrivateAttr, RootModel, Tag, model_validator
from pydantic_core import PydanticCustomError

from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.records import (
    ExpressionText,
    Identifier,
    ItemName,
    LayerKey,
    LayerText,
    Name,
    OperationText,
    Record,
    Text,
    placed,
)
from spec_schema.source import Span

NODE_KEYS = ("repeat", "parallel", "residual", "if", "layer")
"""The keys that tell which form a mapping in a layer position has."""


def node_kind(value: Any) -> str:
    """Return the form of a value in a layer position: the tag of the union `LayerNode`.

    A tag starts with `@`, which tells it from a key in the places that pydantic reports.
    """
    if isinstance(value, Items):
        return "@sequence"
    if isinstance(value, Entries):
        kind = next((f"@{key}" for key in NODE_KEYS if key in value), "@named")
        return f"{kind}-splice" if "splice" in value and kind in ("@repeat", "@if") else kind
    return "@call"


class NamedItem(RootModel[dict[ItemName, "LayerNode"]]):
    """`name: node`, an item of a sequence. The name may be a template: `block{index + 1}`."""

    _source: Entries = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _keep_source(cls, data: Any, handler: Any) -> Any:
        if isinstance(data, Entries) and len(data) != 1:  # what its keys say does not matter then
            raise PydanticCustomError("item-keys", "an item of a sequence is one layer, or one `name: layer`")
        return placed(cls, data, handler, Entries, "a layer")

    @property
    def name(self) -> Scalar:
        return next(iter(self._source.keys_at.values()))

    @property
    def node(self) -> LayerNode:
        return next(iter(self.root.values()))

    @property
    def span(self) -> Span:
        return self._source.span


class SequenceNode(RootModel[list["LayerNode"]]):
    """`[node, node, ...]`."""

    _source: Items = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _keep_source(cls, data: Any, handler: Any) -> Any:
        return placed(cls, data, handler, Items, "a list")

    @property
    def span(self) -> Span:
        return self._source.span


class Copies(Record):
    """What is made once for each of a number, or for each item of a list."""

    repeat: ExpressionText | list[Any]
    as_: Name | list[Name] | None = Field(None, alias="as")
    index: Name | None = None
    running: dict[Identifier, list[Any]] = Field(default_factory=dict)


class Repeat(Copies):
    """`{repeat: N, of: node}`: independent copies, in a row."""

    of: LayerNode
    name: Text | None = None

    @classmethod
    def known_keys(cls) -> list[str]:
        return [*super().known_keys(), "splice"]


class SplicedRepeat(Copies):
    """`{repeat: N, splice: [node, node]}`: the items of a list, over and over, in the list around it."""

    splice: SequenceNode


class Parallel(Record):
    """`{parallel: {a: node, b: node}, combine: op}`: every branch gets the same input."""

    parallel: dict[LayerKey, LayerNode] | list[LayerNode]
    combine: OperationText


class Residual(Record):
    """`{residual: node}`: `x + node(x)`."""

    residual: LayerNode
    combine: OperationText | None = None


class Decided(Record):
    """What is decided at compile time."""

    if_: ExpressionText = Field(alias="if")
    else_: LayerNode | None = Field(None, alias="else")


class Choice(Decided):
    """`{if: expr, then: node, else: node}`."""

    then: LayerNode

    @classmethod
    def known_keys(cls) -> list[str]:
        return [*super().known_keys(), "splice"]


class SplicedChoice(Decided):
    """`{if: expr, splice: [node, node], else: [node]}`: items of the list around it, or none."""

    splice: SequenceNode


class LongCall(Record):
    """`{layer: Conv2d, out_channels: 64}`: a call whose arguments are keys."""

    layer: Name

    @classmethod
    def takes(cls, key: str, known: list[str]) -> bool:
        return True

    def keys_at(self) -> dict[str, Scalar]:
        """Return the positioned keys."""
        return self._source.keys_at

    def arguments(self) -> dict[str, Node]:
        """Return the positioned arguments."""
        return {key: value for key, value in self._source.items() if key != "layer"}


UnnamedNode = (
    Annotated[LayerText, Tag("@call")]
    | Annotated[SequenceNode, Tag("@sequence")]
    | Annotated[Repeat, Tag("@repeat")]
    | Annotated[SplicedRepeat, Tag("@repeat-splice")]
    | Annotated[Parallel, Tag("@parallel")]
    | Annotated[Residual, Tag("@residual")]
    | Annotated[Choice, Tag("@if")]
    | Annotated[SplicedChoice, Tag("@if-splice")]
    | Annotated[LongCall, Tag("@layer")]
)
"""A node in each of its forms, by the tag of the form."""
LayerNode = Annotated[UnnamedNode | Annotated[NamedItem, Tag("@named")], Discriminator(node_kind)]
"""What a layer position may hold."""
