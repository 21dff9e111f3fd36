"""Sizes that follow from a layer's inputs, so that a spec never writes them.

The rules go by the *name* of an argument. torch names these sizes the same way in all of its layers, and so
do most others: a layer of a plugin that has an argument ``in_features`` gets inference for nothing. No part
of the compiler knows a layer by its name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from compiler.catalogue.layer_types import LayerType
from compiler.catalogue.unheard import unheard

LAST = "x.shape[-1]"
CHANNEL = "x.shape[channel]"  # of a convolution: before the spatial dimensions
FEATURE = "x.shape[feature]"  # of a normalisation: after the batch

RULES: dict[str, str] = {
    "in_features": LAST,
    "in_channels": CHANNEL,
    "num_features": FEATURE,
    "num_channels": "x.shape[1]",
    "normalized_shape": LAST,
    "input_size": LAST,
    "embed_dim": LAST,
    "in1_features": LAST,
    "in2_features": "1.shape[-1]",
    "d_model": LAST,
}
"""Argument -> where its value comes from. ``x`` is the first input; a number counts inputs from 0."""

SIDE_INPUTS = {"kdim": 1, "vdim": 2}
"""Arguments that are the last size of another input than the first, and else are taken to be that of the first."""

RULES_OVER_DEFAULTS = frozenset({"d_model"})
"""Arguments that are inferred although they have a default: the 512 of ``Transformer`` fits nobody."""

_EXPRESSION = re.compile(r"(x|\d{1,2})\.shape\[(-?\d{1,2}|channel|feature)\]")


class CannotInfer(Exception):
    """A size does not follow from the inputs that the layer got."""

    def __init__(self, argument: str, input_index: int, reason: str) -> None:
        super().__init__(f"{argument} cannot be inferred: {reason}")
        self.argument = argument
        self.input_index = input_index
        self.reason = reason


@dataclass(frozen=True)
class SizeRule:
    """A parsed rule: a dimension of an input, by number or by the role that it plays."""

    input_index: int
    dimension: int | str


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> SizeRule:
    """Read ``x.shape[-1]`` or ``1.shape[0]``; ValueError for anything else."""
    match = _EXPRESSION.fullmatch(text.replace(" ", ""))
    if match is None:
        advice = "write x.shape[-1], or 1.shape[-1] for the second input"
        raise ValueError(f"{text!r} is no size of an input; {advice}")
    where, dimension = match.groups()
    by_role = dimension in ("channel", "feature")
    return SizeRule(0 if where == "x" else int(where), dimension if by_role else int(dimension))


def rule_for(name: str, has_default: bool) -> str | None:
    """Return the rule for an argument of that name, if its value follows from the input."""
    if has_default and name not in RULES_OVER_DEFAULTS:
        return None
    return RULES.get(name)


def infer(layer: LayerType, written: Mapping[str, object], inputs: Sequence[object]) -> dict[str, int]:
    """Return the sizes that the spec leaves out, from the shapes of the inputs. A symbolic size stays symbolic."""
    sizes = {}
    for argument in layer.arguments:
        if argument.deferred is not None and argument.name not in written:
            sizes[argument.name] = _size(layer, argument.name, parse_rule(argument.deferred), inputs)
    return sizes


def _size(layer: LayerType, name: str, rule: SizeRule, inputs: Sequence[object]) -> int:
    index = rule.input_index
    if index >= len(inputs):
        raise CannotInfer(name, index, f"the layer needs input {index + 1}, and got {len(inputs)}")
    with unheard():
        shape: Any = getattr(inputs[index], "shape", None)
    if shape is None:
        raise CannotInfer(name, index, f"input {index + 1} is no tensor")
    dimension = dimension_of(layer, name, rule, len(shape))
    if not -len(shape) <= dimension < len(shape):
        raise CannotInfer(name, index, f"input {index + 1} has only {len(shape)} dimensions")
    size: int = shape[dimension]
    return size


def dimension_of(layer: LayerType, name: str, rule: SizeRule, ndim: int) -> int:
    """Return the number of the dimension that a rule means, for an input with so many; CannotInfer if there is none."""
    if isinstance(rule.dimension, int):
        return rule.dimension
    rank = spatial_rank(layer.cls)
    if rank is None:
        return 1
    if rule.dimension == "feature":
        unbatched = hasattr(layer.cls, "_get_no_batch_dim") and ndim == rank + 1  # torch's mark: InstanceNorm
        return 0 if unbatched else 1
    if ndim not in (rank + 1, rank + 2):
        reason = f"{layer.name} takes {rank + 1} or {rank + 2} dimensions, and the input has {ndim}"
        raise CannotInfer(name, rule.input_index, reason)
    return ndim - rank - 1


def spatial_rank(cls: type) -> int | None:
    """Return how many spatial dimensions a layer works on: the digit at the end of its name, or of a base's."""
    for each in cls.__mro__:
        match = re.search(r"([123])d$", each.__name__)
        if match:
            return int(match.group(1))
    return None
