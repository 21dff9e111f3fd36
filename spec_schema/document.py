"""The pydantic models of a spec document: which keys there are, and what form each value has.

Scalars stay `Scalar`s, so that every later stage can point at the character that it speaks of.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, PrivateAttr, RootModel, Tag, model_validator
from pydantic_core import PydanticCustomError

from spec_schema.reader import Entries, Items, Node, Scalar
from spec_schema.records import (
    ExpressionText,
    Flag,
    Identifier,
    ItemName,
    Kind,
    LayerText,
    Name,
    OperationText,
    Record,
    SelectorText,
    TensorText,
    Text,
    Whole,
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

    parallel: dict[Identifier, LayerNode] | list[LayerNode]
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


LayerNode = Annotated[
    Annotated[LayerText, Tag("@call")]
    | Annotated[SequenceNode, Tag("@sequence")]
    | Annotated[Repeat, Tag("@repeat")]
    | Annotated[SplicedRepeat, Tag("@repeat-splice")]
    | Annotated[Parallel, Tag("@parallel")]
    | Annotated[Residual, Tag("@residual")]
    | Annotated[Choice, Tag("@if")]
    | Annotated[SplicedChoice, Tag("@if-splice")]
    | Annotated[LongCall, Tag("@layer")]
    | Annotated[NamedItem, Tag("@named")],
    Discriminator(node_kind),
]
"""What a layer position may hold."""


class TensorEntry(Record):
    """A parameter or buffer in its long form."""

    tensor: TensorText | None = None
    init: ExpressionText | None = None
    value: Text | None = None
    persistent: Flag | None = None


def _tensor_kind(value: Any) -> str:
    return "@long" if isinstance(value, Entries) else "@short"


TensorNode = Annotated[
    Annotated[TensorText, Tag("@short")] | Annotated[TensorEntry, Tag("@long")], Discriminator(_tensor_kind)
]


class PartsEntry(Record):
    """`{parts: [q, k, v], dim: 1}`: names that one tensor is split into, or that are stacked to one."""

    parts: list[Text]
    dim: Whole | None = None


PartsNode = Annotated[
    Annotated[list[Text], Tag("@short")] | Annotated[PartsEntry, Tag("@long")], Discriminator(_tensor_kind)
]
TransposeNode = Annotated[
    Annotated[list[SelectorText], Tag("@short")] | Annotated[dict[str, list[Whole]], Tag("@long")],
    Discriminator(_tensor_kind),
]


class CheckpointEntry(Record):
    """`{checkpoint: gpt2/, rename: {...}}`: the long form of the initialiser `checkpoint(...)`."""

    checkpoint: Text
    prefix: Text | None = None
    rename: dict[str, Text] = Field(default_factory=dict)
    transpose: TransposeNode = Field(default_factory=list)
    split: dict[str, PartsNode] = Field(default_factory=dict)
    stack: dict[str, PartsNode] = Field(default_factory=dict)
    skip: list[SelectorText] = Field(default_factory=list)


InitNode = Annotated[
    Annotated[ExpressionText, Tag("@short")] | Annotated[CheckpointEntry, Tag("@long")],
    Discriminator(_tensor_kind),
]
InitRule = dict[str, InitNode]
"""One `selector: initializer`."""


CONDITIONAL = "@if"


def rule_kind(value: Any) -> str:
    """Return the form of an item of a list of rules: one of a mapping, or rules under a condition."""
    conditional = isinstance(value, Entries) and ("if" in value or isinstance(value.get("then"), Items))
    return CONDITIONAL if conditional else "@short"


class Conditional(Record):
    """What holds where a condition over the variables of the spec does."""

    if_: ExpressionText = Field(alias="if")


class ConditionalInit(Conditional):
    """`{if: expr, then: [{selector: initializer}]}`."""

    then: list[InitRule]


InitItem = Annotated[
    Annotated[InitRule, Tag("@short")] | Annotated[ConditionalInit, Tag(CONDITIONAL)],
    Discriminator(rule_kind),
]


class PlacementEntry(Record):
    """`{device: cuda:1, dtype: bfloat16}`."""

    device: Text | None = None
    dtype: Text | None = None


PlacementNode = Annotated[
    Annotated[Text, Tag("@short")] | Annotated[PlacementEntry, Tag("@long")], Discriminator(_tensor_kind)
]


PlacementRule = dict[str, PlacementNode]
"""One `selector: device`."""


class ConditionalPlacement(Conditional):
    """`{if: expr, then: [{selector: device}]}`."""

    then: list[PlacementRule]


PlacementItem = Annotated[
    Annotated[PlacementRule, Tag("@short")] | Annotated[ConditionalPlacement, Tag(CONDITIONAL)],
    Discriminator(rule_kind),
]


class ConditionalGroup(Conditional):
    """`{if: expr, then: [selector, selector]}`: those who share, or what is frozen, where the condition holds."""

    then: list[SelectorText]


GroupNode = Annotated[
    Annotated[list[SelectorText], Tag("@short")] | Annotated[ConditionalGroup, Tag("@long")],
    Discriminator(_tensor_kind),
]


FreezeItem = Annotated[
    Annotated[SelectorText, Tag("@short")] | Annotated[ConditionalGroup, Tag("@long")],
    Discriminator(_tensor_kind),
]


class RuleBearer(Record):
    """What may hold rules: a spec, or a block."""

    share: dict[str, GroupNode] = Field(default_factory=dict)
    init: list[InitItem] = Field(default_factory=list)
    freeze: list[FreezeItem] = Field(default_factory=list)


def body_kind(value: Any) -> str:
    """Return the form of a block's body: the tag of the union `BlockBody`."""
    kind = node_kind(value)
    slip = kind == "@layer" and isinstance(value["layer"], Entries)  # for `layers`
    return "@body" if kind == "@named" or slip else kind


class Body(RuleBearer):
    """A block's body written as a mapping. A key `forward(a, b=None)` declares the inputs."""

    doc: Text | None = None
    vars: dict[Identifier, Any] = Field(default_factory=dict)
    layers: dict[Identifier, LayerNode] = Field(default_factory=dict)
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


BlockBody = Annotated[
    Annotated[Body, Tag("@body")]
    | Annotated[LayerText, Tag("@call")]
    | Annotated[SequenceNode, Tag("@sequence")]
    | Annotated[Repeat, Tag("@repeat")]
    | Annotated[SplicedRepeat, Tag("@repeat-splice")]
    | Annotated[Parallel, Tag("@parallel")]
    | Annotated[Residual, Tag("@residual")]
    | Annotated[Choice, Tag("@if")]
    | Annotated[SplicedChoice, Tag("@if-splice")]
    | Annotated[LongCall, Tag("@layer")],
    Discriminator(body_kind),
]


class Data(Record):
    """Where batches come from. A key that is not listed is a field of the batch: its value names an array."""

    file: Text | None = None
    text: Text | None = None
    dataset: Text | None = None
    context: ExpressionText | None = None
    test: ExpressionText | None = None

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
    Annotated[Text, Tag("@short")] | Annotated[Metric, Tag("@long")], Discriminator(_tensor_kind)
]


class Train(Record):
    """How `run` trains the model."""

    data: Data
    loss: Text
    optimizer: Text
    schedule: Text | None = None
    batch: ExpressionText
    epochs: ExpressionText | None = None
    steps: ExpressionText | None = None
    clip: ExpressionText | None = None
    precision: Text | None = None
    metrics: dict[Identifier, MetricNode] = Field(default_factory=dict)
    watch: list[SelectorText] = Field(default_factory=list)


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
    train: Train | None = None
