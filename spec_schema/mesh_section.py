"""The pydantic model of the section `mesh`."""

from __future__ import annotations

from pydantic import Field

from spec_schema.records import ExpressionText, Flag, Identifier, Record, SelectorText, Text


class Mesh(Record):
    """How the model lies on a mesh of ranks."""

    axes: dict[Identifier, ExpressionText]
    shard: Text | None = None
    replicate: Text | None = None
    units: list[SelectorText] = Field(default_factory=list)
    split: list[dict[str, ExpressionText]] = Field(default_factory=list)
    local: dict[str, ExpressionText] = Field(default_factory=dict)
    recompute: list[SelectorText] = Field(default_factory=list)
    sync_statistics: Flag | None = None
    local_statistics: Flag | None = None
