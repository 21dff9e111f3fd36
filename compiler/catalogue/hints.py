"""What the signature of a layer cannot say of it, for tests that draw its arguments and inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, TypeAlias

Types: TypeAlias = Mapping[str, str | Sequence[str | None]]
"""A tensor type for each input, or several to choose from."""


@dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    """A layer of torch as an argument of a layer: `Recipe("GELU", {"approximate": "tanh"})`."""

    layer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return it as a spec writes it."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.layer}({given})"


@dataclass(frozen=True, eq=False)
class Hints:
    """How to draw arguments and inputs for a layer, and what it does not promise.

    Tensor types are those of specs. Their dimensions are expressions over the layer's arguments and over other
    names, which stand for sizes that are drawn; `...` stands for up to two more dimensions.

    Attributes:
        inputs: A tensor type for each input that `forward` is given, or several to choose from:
            `{"x": ["float[batch, in_features]", "float[batch, time, in_features]"]}`. None among them leaves an
            input out. The dimension that is `batch` says where the items of a batch are. Where types go together,
            a list of such mappings to choose from.
        output: The type that comes out, or a list of types where several tensors do. What comes out without a
            dimension `batch` is not expected to have items.
        arguments: What to draw for an argument: some values, or a Hypothesis strategy. A layer is a `Recipe`.
            An optional argument is left out at times, unless its default is not among the values.
        sizes: The smallest and largest size of a named dimension, if 1 to 4 does not serve.
        values: The smallest value of an input and what it stays below, numbers or expressions:
            `{"tokens": (0, "num_embeddings")}`.
        where: Conditions that arguments and sizes must meet, as expressions: `["embed_dim % num_heads == 0"]`.
            An input that is no argument or size is true where it is given.
        exceptions: Properties that the layer does not have, each with the reason; or that it has not under a
            condition: `{"gradcheck if sparse": "the gradient is sparse"}`.
    """

    inputs: Types | Sequence[Types] = field(default_factory=dict)
    output: str | Sequence[str] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[str, tuple[float | str, float | str]] = field(default_factory=dict)
    where: Sequence[str] = ()
    exceptions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse by TypeError what has not the form that is written above."""
        for types in self.inputs if _is_list(self.inputs) else [self.inputs]:
            if not isinstance(types, Mapping):
                raise TypeError(f"hints.inputs takes a mapping from inputs to types, not {types!r}")
            for name, given in types.items():
                _require(
                    _are_texts(given, str | None), "inputs", f"a type or a list of types for `{name}`", given
                )
        fits = self.output is None or _are_texts(self.output, str)
        _require(fits, "output", "a type or a list of types", self.output)
        fits = _is_list(self.where) and _are_texts(self.where, str)
        _require(fits, "where", "a list of conditions", self.where)
        self._require_for_each()

    def _require_for_each(self) -> None:
        for name, drawn in self.arguments.items():
            fits = hasattr(drawn, "flatmap") or (_is_list(drawn) and len(drawn) > 0)
            _require(fits, "arguments", f"a list of values, or a strategy, for `{name}`", drawn)
        for name, sizes in self.sizes.items():
            fits = _is_pair(sizes, int) and sizes[0] <= sizes[1]
            _require(fits, "sizes", f"the smallest and the largest size for `{name}`", sizes)
        for name, bounds in self.values.items():
            fits = _is_pair(bounds, int | float | str)
            _require(fits, "values", f"the smallest value and a bound for `{name}`", bounds)
        for name, reason in self.exceptions.items():
            _require(isinstance(reason, str) and reason != "", "exceptions", f"a reason for `{name}`", reason)


def _require(fits: bool, what: str, wanted: str, given: object) -> None:
    if not fits:
        raise TypeError(f"hints.{what} takes {wanted}, not {given!r}")


def _is_list(given: object) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str)


def _are_texts(given: Any, kind: type | UnionType) -> bool:
    return all(isinstance(each, kind) for each in (given if _is_list(given) else [given]))


def _is_pair(given: Any, kind: type | UnionType) -> bool:
    return _is_list(given) and len(given) == 2 and all(isinstance(each, kind) for each in given)
