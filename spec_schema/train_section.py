"""The pydantic models of the section `train`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from spec_schema.reader import Node, Scalar
from spec_schema.records import (
    ExpressionText,
    Flag,
    Identifier,
    Record,
    SelectorText,
    Text,
    short_or_long,
)


class Held(Record):
    """A split that comes from a place of its own: `{file: test.csv}`."""

    file: Text | None = None
    folder: Text | None = None
    text: Text | None = None
    dataset: Text | None = None


HeldNode = Annotated[
    Annotated[ExpressionText, Tag("@short")] | Annotated[Held, Tag("@long")], Discriminator(short_or_long)
]


class Data(Record):
    """Where batches come from. A key that is not listed is a field of the batch: its value names an array."""

    file: Text | None = None
    folder: Text | None = None
    text: Text | None = None
    dataset: Text | None = None
    context: ExpressionText | None = None
    test: HeldNode | None = None
    validation: HeldNode | None = None
    stratify: Text | None = None
    group: Text | None = None
    workers: ExpressionText | None = None
    shuffle: Flag | None = None
    weights: Text | None = None
    transform: Text | None = None

    @classmethod
    def takes(cls, key: str, known: list[str]) -> bool:
        return True

    def fields(self) -> list[tuple[Scalar, Node]]:
        """Return the positioned key and value of each field of the batch."""
        known = type(self).model_fields
        return [(at, self._source[key]) for key, at in self._source.keys_at.items() if key not in known]


class Metric(Record):
    """A metric with the values that it compares; `{metric: ..., of: [output, label]}`."""

    metric: Text
    of: list[ExpressionText]


MetricNode = Annotated[
    Annotated[Text, Tag("@short")] | Annotated[Metric, Tag("@long")], Discriminator(short_or_long)
]


OptimizerNode = Annotated[
    Annotated[Text, Tag("@short")] | Annotated[dict[str, Text], Tag("@long")], Discriminator(short_or_long)
]
"""One optimizer, or one for each selector."""


class Monitor(Record):
    """What decides which epoch is the best one: `{metric: validation_accuracy, mode: max}`."""

    metric: Text
    mode: Text | None = None


MonitorNode = Annotated[
    Annotated[Text, Tag("@short")] | Annotated[Monitor, Tag("@long")], Discriminator(short_or_long)
]


class EarlyStopping(Record):
    """When a training ends before its last epoch."""

    patience: ExpressionText
    min_delta: ExpressionText | None = None


class Clip(Record):
    """What a gradient is clipped to: the largest norm of all, or the largest absolute value of one."""

    norm: ExpressionText | None = None
    value: ExpressionText | None = None


ClipNode = Annotated[
    Annotated[ExpressionText, Tag("@short")] | Annotated[Clip, Tag("@long")], Discriminator(short_or_long)
]


class Log(Record):
    """What is written beside the CSV log."""

    report: Flag | None = None
    tensorboard: Flag | None = None


class Train(Record):
    """How `run` trains the model."""

    data: Data
    loss: Text
    optimizer: OptimizerNode
    groups: dict[str, dict[Identifier, ExpressionText]] = Field(default_factory=dict)
    schedule: Text | None = None
    batch: ExpressionText
    epochs: ExpressionText | None = None
    steps: ExpressionText | None = None
    accumulate: ExpressionText | None = None
    warmup: ExpressionText | None = None
    clip: ClipNode | None = None
    ema: ExpressionText | None = None
    monitor: MonitorNode | None = None
    early_stopping: EarlyStopping | None = None
    precision: Text | None = None
    metrics: dict[Identifier, MetricNode] = Field(default_factory=dict)
    watch: list[SelectorText] = Field(default_factory=list)
    log: Log | None = None
