"""Which tensors a layer takes: the types that hints give, or those that a trial finds."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from compiler.catalogue.deferral import CannotInfer, dimension_of, parse_rule
from compiler.catalogue.hints import Types
from runtime.testing.subject import HintError, Subject
from spec_schema.canonical import to_json
from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import FUNCTIONS, evaluate
from spec_schema.grammar import Expression, parse_expression
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Scalar, read_text
from spec_schema.tensors import TensorType, parse_tensor

Parsed = TypeVar("Parsed")
BATCH = "batch"
MORE = "..."
RANKS = (2, 3, 4, 5, 1)
"""Numbers of dimensions that are tried, the likeliest first."""
DTYPES = ("float", "int64")


@dataclass(frozen=True)
class Form:
    """A tensor type for each input that `forward` gets."""

    types: Mapping[str, TensorType]

    def __str__(self) -> str:
        return ", ".join(f"{name}: {each}" for name, each in self.types.items())

    @property
    def rank(self) -> int:
        """The number of dimensions of the first input."""
        return max((len(each.dimensions) for each in list(self.types.values())[:1]), default=0)

    @property
    def dtype(self) -> str:
        """The dtype of the first input."""
        return max((each.dtype for each in list(self.types.values())[:1]), default="")

    def names(self) -> list[str]:
        """Return the names in the dimensions, in the order in which they come."""
        parts = [part for each in self.types.values() for part in each.dimensions]
        return list(dict.fromkeys(name for part in parts for name in names_in(part)))


def names_in(given: Expression) -> list[str]:
    """Return the names of values in an expression."""
    found = [node.id for node in ast.walk(given.tree) if isinstance(node, ast.Name)]
    return [name for name in found if name not in FUNCTIONS]


def hinted_forms(subject: Subject) -> list[Form]:
    """Return every choice of the types that the hints give.

    Raises:
        HintError: a type is malformed, or an input that `forward` needs has none.
    """
    return [form for types in subject.input_types for form in _choices(subject, types)]


def _choices(subject: Subject, types: Types) -> Iterator[Form]:
    missing = [name for name in subject.required_inputs() if name not in types]
    if missing:
        raise HintError(f"{subject.layer.name}: hints.inputs lack `{missing[0]}`, which `forward` needs")
    given = [list(_expanded([each] if isinstance(each, str) else each)) for each in types.values()]
    for texts in itertools.product(*given):
        chosen = {name: text for name, text in zip(types, texts, strict=True) if text is not None}
        yield Form({name: tensor_type(subject, text) for name, text in chosen.items()})


def tensor_type(subject: Subject, text: str) -> TensorType:
    """Read a tensor type of a hint; HintError if it is malformed."""
    return _parsed(subject, text, parse_tensor)


def is_met(subject: Subject, what: str, text: str, names: Mapping[str, Any]) -> bool:
    """Return whether a condition of a hint is met; HintError if it is no expression over the names."""
    try:
        return bool(evaluate(expression(subject, text), names))
    except SpecError as error:
        raise HintError(f"{subject.layer.name}: hints.{what}: {error.diagnostics[0].message}") from None


def expression(subject: Subject, text: str) -> Expression:
    """Read an expression of a hint; HintError if it is malformed."""
    return _parsed(subject, text, parse_expression)


def _parsed(subject: Subject, text: str, parse: Callable[[Scalar], Parsed]) -> Parsed:
    """Read a text of a hint as specs are read; HintError if it is refused."""
    found = read_text(to_json(text), "hints.json", DEFAULT_LIMITS)
    assert isinstance(found, Scalar)
    try:
        return parse(found)
    except SpecError as error:
        raise HintError(f"{subject.layer.name}: `{text}`: {error.diagnostics[0].message}") from None


def possible_forms(subject: Subject) -> Iterator[Form]:
    """Yield forms to try where there are no hints: each rank and dtype, alike for all inputs.

    A size that follows from an input is the dimension of it that the rule names; the first dimension is the batch.
    """
    for dtype, rank in itertools.product(DTYPES, RANKS):
        dimensions = _dimensions(subject, rank)
        if dimensions is not None:
            yield Form(
                {
                    name: tensor_type(subject, f"{dtype}[{', '.join(sizes)}]")
                    for name, sizes in dimensions.items()
                }
            )


def _dimensions(subject: Subject, rank: int) -> dict[str, list[str]] | None:
    """Return the dimensions of each input, None where a rule names a dimension that the input lacks."""
    inputs = subject.required_inputs()
    names = [BATCH, *(f"size{number}" for number in range(1, rank))] if rank > 1 else ["size"]
    found = {name: list(names) for name in inputs}
    for argument in subject.layer.arguments:
        if argument.deferred is None:
            continue
        rule = parse_rule(argument.deferred)
        try:
            at = dimension_of(subject.layer, argument.name, rule, rank)
        except CannotInfer:
            return None
        if rule.input_index >= len(inputs) or not -rank <= at < rank:
            return None
        found[inputs[rule.input_index]][at] = argument.name
    return found


def _expanded(texts: Sequence[str | None]) -> Iterator[str | None]:
    """Replace `...` by none, one and two dimensions."""
    for text in texts:
        if text is None or MORE not in text:
            yield text
            continue
        for count in range(3):
            more = ", ".join(f"more{number}" for number in range(1, count + 1))
            yield re.sub(r",\s*\.\.\.", f", {more}" if more else "", text)
