"""Where the batches of a training come from: a file of arrays, a text, or a data set of a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from compiler.infer.infer import Inferred
from compiler.program import ResolvedProgram, Scope
from compiler.training.calls import Making, datasets, read_making
from compiler.training.objective import OUTPUT
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.names import name_problem
from spec_schema.reader import Node, Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.train_section import Data

KINDS = ("file", "text", "dataset")
CHARACTERS, NEXT_CHARACTERS = "characters", "next_characters"
TEXT_ARRAYS = (CHARACTERS, NEXT_CHARACTERS)
"""What a text has: windows of characters as numbers, and the same windows one character further on."""


@dataclass(frozen=True)
class FieldSource:
    """The array that a field of the batch is taken from."""

    array: str
    span: Span


@dataclass(frozen=True, eq=False)
class DataSource:
    """Where batches come from. `path` is that of a file or text, `making` makes a plugin's data set."""

    kind: str
    path: str | None
    making: Making | None
    fields: Mapping[str, FieldSource]
    context: int | None
    """Characters in a window of text."""
    test: float | None
    """The part of the data that is held back."""
    span: Span
    validation: float | None = None
    """The part by which the best epoch is chosen."""


def read_source(data: Data, program: ResolvedProgram) -> DataSource:
    """Return the checked source of a training's data.

    Raises:
        SpecError: with every reason why it is refused.
    """
    return _Reader(data, program).read()


def example_batch(source: DataSource, inferred: Inferred) -> dict[str, Tensor]:
    """Return the fields whose shapes are known without the data: inputs of the model, and windows of text."""
    batch = {name: tensor for name, tensor in inferred.inputs.items() if name in source.fields}
    if source.kind == "text" and batch:
        window = next(iter(batch.values()))
        batch = dict.fromkeys(source.fields, window)
    return batch


@dataclass(eq=False)
class _Reader:
    data: Data
    program: ResolvedProgram
    problems: list[Diagnostic] = field(default_factory=list)

    def read(self) -> DataSource:
        scope = self.program.scope
        kind = self._kind()
        written = getattr(self.data, kind)
        making = None
        if kind == "dataset":
            making = read_making(written, datasets(scope.plugins), scope)
        fields = self._fields(kind)
        self._check_inputs(fields)
        context = self._context(kind, scope)
        test, validation = self._held("test", scope), self._held("validation", scope)
        if test is not None and validation is not None and test + validation >= 1:
            message = (
                f"`test` and `validation` hold back {test + validation:g} of the data, and leave nothing"
            )
            self.problems.append(Diagnostic("bad-size", message, self.data.at("validation")))
        if self.problems:
            raise SpecError(self.problems)
        path = None if kind == "dataset" else written.text
        return DataSource(kind, path, making, fields, context, test, written.span, validation)

    def _kind(self) -> str:
        given = [kind for kind in KINDS if self.data.has(kind)]
        if len(given) > 1:
            raise refuse(
                "conflicting-keys",
                f"data comes from one source, and here are `{given[0]}` and `{given[1]}`",
                self.data.at(given[1]),
                labels=(Label(self.data.at(given[0]), "the other"),),
            )
        if not given:
            keys = {at.text: at.span for at, _ in self.data.fields()}
            meant = {hit: place for key, place in keys.items() if (hit := did_you_mean(key, KINDS))}
            near = next(iter(meant), None)
            raise refuse(
                "missing-key",
                "the data comes from nowhere",
                meant.get(near or "", _head(self.data.span)),
                help=f"did you mean `{near}`?"
                if near
                else "name a `file` of arrays, a `text`, or a plugin's `dataset`",
            )
        return given[0]

    def _fields(self, kind: str) -> dict[str, FieldSource]:
        fields: dict[str, FieldSource] = {}
        for at, value in self.data.fields():
            problem = self._field_problem(kind, at, value)
            if problem:
                self.problems.append(problem)
            else:
                assert isinstance(value, Scalar)
                fields[at.text] = FieldSource(value.text, value.span)
        return fields

    def _field_problem(self, kind: str, at: Scalar, value: Node) -> Diagnostic | None:
        bad_name = name_problem(at.text, at.span)
        if bad_name:
            return bad_name
        if at.text == OUTPUT:
            message = f"`{OUTPUT}` is what the model returns, not a field of the batch"
            return Diagnostic("reserved-name", message, at.span, help="give the field another name")
        if not isinstance(value, Scalar) or not isinstance(value.value, str):
            near = did_you_mean(at.text, list(Data.model_fields))
            return Diagnostic(
                "wrong-type",
                f"`{at.text}` is a field of the batch, whose value is the name of an array",
                value.span,
                help=f"did you mean `{near}`?" if near else None,
            )
        if kind == "text" and value.text not in TEXT_ARRAYS:
            return unknown_array(value.text, value.span, TEXT_ARRAYS, "a text")
        return None

    def _check_inputs(self, fields: Mapping[str, FieldSource]) -> None:
        written = {at.text for at, _ in self.data.fields()}
        for entry in self.program.inputs:
            if entry.name in written:
                continue
            near = did_you_mean(entry.name, fields)
            self.problems.append(
                Diagnostic(
                    "missing-field",
                    f"the batch has no field `{entry.name}`, which the model takes",
                    _head(self.data.span),
                    help=f"did you mean `{near}`?" if near else f"name its array: `{entry.name}: ...`",
                )
            )

    def _context(self, kind: str, scope: Scope) -> int | None:
        scalar = self.data.context
        if kind == "text" and scalar is None:
            message = "the key `context` is missing: how many characters a window has"
            self.problems.append(Diagnostic("missing-key", message, self.data.at("text")))
        if scalar is None:
            return None
        if kind != "text":
            message = f"`context` is the length of a window of text, and this is a {kind}"
            self.problems.append(Diagnostic("unknown-key", message, self.data.at("context")))
            return None
        value = evaluate(parse_expression(scalar), scope.variables)
        if type(value) is not int or value < 1:
            message = f"`context` is a whole number from 1, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, scalar.span))
        return value if type(value) is int else None

    def _held(self, key: str, scope: Scope) -> float | None:
        scalar = getattr(self.data, key)
        if scalar is None:
            return None
        value = evaluate(parse_expression(scalar), scope.variables)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            message = f"`{key}` is the part that is held back, between 0 and 1, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, scalar.span))
            return None
        return float(value)


def unknown_array(name: str, place: Span, known: tuple[str, ...], owner: str) -> Diagnostic:
    """Return the diagnostic of an array that a source of data does not have."""
    near = did_you_mean(name, known)
    return Diagnostic(
        "unknown-array",
        f"{owner} has no array `{name}`",
        place,
        notes=(f"arrays: {', '.join(known) or 'none'}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def _head(span: Span) -> Span:
    """Return the first line of a place."""
    return span.part(0, max(len(span.text.split("\n")[0].rstrip()), 1))
