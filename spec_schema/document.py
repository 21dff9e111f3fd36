"""The pydantic models of a spec document: which keys there are, and what form each value has.

Scalars stay `Scalar`s, so that every later stage can point at the character that it speaks of.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from spec_schema.layer_nodes import LayerNode, UnnamedNode, node_kind
from spec_schema.mesh_section import Mesh
from spec_schema.reader import Entries, Node, Scalar
from spec_schema.records import (
    ExpressionText,
    Flag,
    Identifier,
    Kind,
    LayerKey,
    Name,
    Record,
    TensorText,
    Text,
    short_or_long,
)
from spec_schema.rule_sections import ParametrizeItem, PlacementItem, RuleBearer
from spec_schema.train_section import Train


class TensorEntry(Record):
    """A parameter or buffer in its long form."""

    tensor: TensorText | None = None
    init: ExpressionText | None = None
    value: Text | None = None
    persistent: Flag | None = None
    updated: Flag | None = None


TensorNode = Annotated[
    Annotated[TensorText, Tag("@short")] | Annotated[TensorEntry, Tag("@long")], Discriminator(short_or_long)
]


def body_kind(value: Any) -> str:
    """Return the form of a block's body: the tag of the union `BlockBody`."""
    kind = node_kind(value)
    slip = kind == "@layer" and isinstance(value["layer"], Entries)  # for `layers`
    return "@body" if kind == "@named" or slip else kind


class Body(RuleBearer):
    """A block's body written as a mapping. A key `forward(a, b=None)` declares the inputs."""

    doc: Text | None = None
    vars: dict[Identifier, Any] = Field(default_factory=dict)
    extends: LayerNode | None = None
    layers: dict[LayerKey, LayerNode] = Field(default_factory=dict)
    parameters: dict[Identifier, TensorNode] = Field(default_factory=dict)
    buffers: dict[Identifier, TensorNode] = Field(default_factory=dict)

    @classmethod
    def known_keys(cls) -> list[str]:
        return [*super().known_keys(), "forward"]

    @classmethod
    def takes(cls, key: str, known: list[str]) -> bool:
        return key in known or _is_forward(key)

    def forwards(self) -> list[tuple[Scalar, Node]]:
        """Return each key and value of a forward program; a valid block has at most one."""
        return [(at, self._source[key]) for key, at in self._source.keys_at.items() if _is_forward(key)]


def _is_forward(key: str) -> bool:
    return key.split("(")[0].strip() == "forward"


BlockBody = Annotated[Annotated[Body, Tag("@body")] | UnnamedNode, Discriminator(body_kind)]


class Document(RuleBearer):
    """A whole spec."""

    spec: Annotated[Scalar, Kind("the language version", int)]
    name: Name | None = None
    doc: Text | None = None
    import_: dict[str, list[Text | dict[Identifier, Name]]] = Field(default_factory=dict, alias="import")
    requires: list[Text] = Field(default_factory=list)
    vars: dict[Identifier, Any] = Field(default_factory=dict)
    presets: dict[Identifier, dict[Identifier, Any]] = Field(default_factory=dict)
    inputs: dict[Identifier, TensorText] = Field(default_factory=dict)
    dims: dict[Identifier, ExpressionText] = Field(default_factory=dict)
    blocks: dict[str, BlockBody] = Field(default_factory=dict)
    model: BlockBody | None = None
    placement: list[PlacementItem] = Field(default_factory=list)
    parametrize: list[ParametrizeItem] = Field(default_factory=list)
    train: Train | None = None
    mesh: Mesh | None = None
