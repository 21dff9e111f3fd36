"""Where the batches of a training come from: files of arrays, tables, folders, a text, or a plugin's data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from compiler.infer.infer import Inferred
from compiler.program import ResolvedProgram, Scope
from compiler.training.calls import Making, datasets, read_making
from compiler.training.objective import OUTPUT
from compiler.training.transform import Transform, read_transform
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.names import name_problem
from spec_schema.reader import Items, Node, Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.train_section import Data, Held

KINDS = ("file", "folder", "text", "dataset")
CHARACTERS, NEXT_CHARACTERS = "characters", "next_characters"
TEXT_ARRAYS = (CHARACTERS, NEXT_CHARACTERS)
"""What a text has: windows of characters as numbers, and the same windows one character further on."""
MOST_WORKERS = 64


@dataclass(frozen=True)
class FieldSource:
    """The array that a field of the batch is taken from, or the columns that it is put together from."""

    array: str
    span: Span
    columns: tuple[str, ...] = ()
    """The names of a list, each a column with one number in a row."""

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that are read for it."""
        return self.columns or (self.array,)


@dataclass(frozen=True, eq=False)
class Origin:
    """A place that rows come from. `path` is that of a file or folder, `making` makes a plugin's data set."""

    kind: str
    path: str | None
    making: Making | None
    span: Span


@dataclass(frozen=True)
class Loading:
    """How batches are drawn and loaded."""

    workers: int = 0
    shuffle: bool = True
    weights: FieldSource | None = None
    """The array of the classes that are drawn equally often, or of how often each row is drawn."""


@dataclass(frozen=True, eq=False)
class DataSource:
    """Where batches come from, how splits are held back, and what is done to each item."""

    origin: Origin
    fields: Mapping[str, FieldSource]
    context: int | None
    """Characters in a window of text."""
    test: float | Origin | None
    """The part of the data that is held back, or where the test split comes from."""
    validation: float | Origin | None = None
    stratify: FieldSource | None = None
    """The array whose values each split has in equal parts."""
    group: FieldSource | None = None
    """The array whose rows of one value stay in one split."""
    loading: Loading = Loading()
    transform: Transform | None = None

    @property
    def kind(self) -> str:
        return self.origin.kind

    @property
    def span(self) -> Span:
        return self.origin.span

    @property
    def arrays(self) -> set[str]:
        """The names of all arrays that are read."""
        others = [each for each in (self.stratify, self.group, self.loading.weights) if each is not None]
        return {name for each in (*self.fields.values(), *others) for name in each.names}


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
        origin = read_origin(self.data, scope)
        fields = self._fields(origin.kind)
        self._check_inputs(fields)
        source = DataSource(
            origin,
            fields,
            self._context(origin.kind, scope),
            self._held("test", origin, scope),
            self._held("validation", origin, scope),
            self._array("stratify", origin.kind),
            self._array("group", origin.kind),
            self._loading(origin.kind, scope),
            self._transform(fields, scope),
        )
        self._check_shares(source)
        if self.problems:
            raise SpecError(self.problems)
        return source

    # Fields.

    def _fields(self, kind: str) -> dict[str, FieldSource]:
        fields: dict[str, FieldSource] = {}
        for at, value in self.data.fields():
            problem = self._field_problem(kind, at, value)
            if problem:
                self.problems.append(problem)
            elif isinstance(value, Items):
                names = tuple(each.text for each in value if isinstance(each, Scalar))
                fields[at.text] = FieldSource(f"[{', '.join(names)}]", value.span, names)
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
        if not _is_name(value) and not (kind != "text" and _is_list_of_names(value)):
            near = did_you_mean(at.text, list(Data.model_fields))
            return Diagnostic(
                "wrong-type",
                f"`{at.text}` is a field of the batch, whose value is the name of an array",
                value.span,
                help=f"did you mean `{near}`?" if near else None,
            )
        if kind == "text" and isinstance(value, Scalar) and value.text not in TEXT_ARRAYS:
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

    def _array(self, key: str, kind: str) -> FieldSource | None:
        scalar: Scalar | None = getattr(self.data, key)
        if scalar is None:
            return None
        if kind == "text":
            message = f"`{key}` names an array with one value in a row, and a text has none"
            self.problems.append(Diagnostic("unknown-key", message, self.data.at(key)))
            return None
        return FieldSource(scalar.text, scalar.span)

    # Splits.

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

    def _held(self, key: str, origin: Origin, scope: Scope) -> float | Origin | None:
        written: Scalar | Held | None = getattr(self.data, key)
        if isinstance(written, Held):
            return self._apart(key, written, origin, scope)
        if written is None:
            return None
        value = evaluate(parse_expression(written), scope.variables)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            message = f"`{key}` is the part that is held back, between 0 and 1, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, written.span))
            return None
        return float(value)

    def _apart(self, key: str, written: Held, origin: Origin, scope: Scope) -> Origin:
        apart = read_origin(written, scope)
        if apart.kind != origin.kind:
            message = f"the {key} split is a {apart.kind}, and the data are a {origin.kind}"
            labels = (Label(origin.span, "the data"),)
            self.problems.append(Diagnostic("conflicting-keys", message, apart.span, labels=labels))
        return apart

    def _check_shares(self, source: DataSource) -> None:
        shares = [each for each in (source.test, source.validation) if isinstance(each, float)]
        if sum(shares) >= 1:
            message = f"`test` and `validation` hold back {sum(shares):g} of the data, and leave nothing"
            self.problems.append(Diagnostic("bad-size", message, self.data.at("validation")))
        asked = [key for key in ("stratify", "group") if getattr(source, key) is not None]
        if len(asked) == 2:
            message = "a split is stratified or grouped, not both"
            self.problems.append(Diagnostic("conflicting-keys", message, self.data.at("group")))
        elif asked and not shares:
            message = f"`{asked[0]}` says how a share of the data is held back, and none is"
            self.problems.append(
                Diagnostic("missing-key", message, self.data.at(asked[0]), help="hold one back: `test: 0.2`")
            )

    # Loading.

    def _loading(self, kind: str, scope: Scope) -> Loading:
        shuffle = self.data.shuffle is None or bool(self.data.shuffle.value)
        weights = self._array("weights", kind)
        if weights is not None and not shuffle:
            message = "rows that are drawn by `weights` are in no order"
            self.problems.append(Diagnostic("conflicting-keys", message, self.data.at("shuffle")))
        return Loading(self._workers(scope), shuffle, weights)

    def _workers(self, scope: Scope) -> int:
        scalar = self.data.workers
        if scalar is None:
            return 0
        value = evaluate(parse_expression(scalar), scope.variables)
        if type(value) is not int or not 0 <= value <= MOST_WORKERS:
            message = f"`workers` is a whole number from 0 to {MOST_WORKERS}, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, scalar.span))
            return 0
        return value

    def _transform(self, fields: Mapping[str, FieldSource], scope: Scope) -> Transform | None:
        if self.data.transform is None:
            return None
        try:
            return read_transform(self.data.transform, tuple(fields), scope)
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None


def read_origin(written: Data | Held, scope: Scope) -> Origin:
    """Return the one place that data come from.

    Raises:
        SpecError: there is none, or several; or no plugin has such a data set.
    """
    kind = _kind(written)
    value = getattr(written, kind)
    if kind == "dataset":
        return Origin(kind, None, read_making(value, datasets(scope.plugins), scope), value.span)
    return Origin(kind, value.text, None, value.span)


def _kind(written: Data | Held) -> str:
    given = [kind for kind in KINDS if written.has(kind)]
    if len(given) > 1:
        raise refuse(
            "conflicting-keys",
            f"data comes from one source, and here are `{given[0]}` and `{given[1]}`",
            written.at(given[1]),
            labels=(Label(written.at(given[0]), "the other"),),
        )
    if not given:
        keys = {at.text: at.span for at, _ in written.fields()} if isinstance(written, Data) else {}
        meant = {hit: place for key, place in keys.items() if (hit := did_you_mean(key, KINDS))}
        near = next(iter(meant), None)
        raise refuse(
            "missing-key",
            "the data comes from nowhere",
            meant.get(near or "", _head(written.span)),
            help=f"did you mean `{near}`?"
            if near
            else "name a `file`, a `folder`, a `text`, or a plugin's `dataset`",
        )
    return given[0]


def _is_name(value: Node) -> bool:
    return isinstance(value, Scalar) and isinstance(value.value, str)


def _is_list_of_names(value: Node) -> bool:
    return isinstance(value, Items) and len(value) > 0 and all(_is_name(each) for each in value)


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
