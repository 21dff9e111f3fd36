"""The `train` section with every name looked up and every number checked. No file of data is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from compiler.extras import TRAIN
from compiler.infer.dtypes import default_dtype
from compiler.infer.infer import Inferred
from compiler.infer.on_meta import meta_device
from compiler.program import Scope
from compiler.rule_records import Rules, SelectorRule
from compiler.rules.items import bind, takes_nothing
from compiler.rules.plan import Plan
from compiler.rules.table import RuleScope
from compiler.rules.unused import unused_selector
from compiler.training.calls import Making, metrics, read_making, schedules
from compiler.training.groups import ParameterGroup, rate_problems, read_groups
from compiler.training.logs import Logs, read_logs
from compiler.training.metric import sketched_metric
from compiler.training.monitor import EarlyStopping, Monitor, read_early_stopping, read_monitor
from compiler.training.objective import OUTPUT, Objective, check_scalar, read_objective, try_objective
from compiler.training.source import DataSource, example_batch, read_source
from spec_schema.clock import stage
from spec_schema.diagnostics import Diagnostic, Label, SpecError, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression, parse_value
from spec_schema.reader import Scalar
from spec_schema.selectors import Selector, read_selector
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.train_section import Clip, Metric, Train

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
"""The names of Lightning, without those that change the dtype of the parameters: placement rules do that."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LOGGED = ("epoch", "step", "lr", "loss", "train_loss", "validation_loss", "test_loss")
"""Names of the log that no metric may have."""


@dataclass(frozen=True, eq=False)
class Measure:
    """A metric, and the values that it compares."""

    name: str
    making: Making
    of: Objective


@dataclass(frozen=True)
class Clipping:
    """What gradients are clipped to before a step: the norm of all together, or the absolute value of each."""

    by: Literal["norm", "value"]
    largest: float


@dataclass(frozen=True, eq=False)
class Training:
    """A checked `train` section. Either `epochs` or `steps` is given."""

    data: DataSource
    loss: Objective
    optimizers: tuple[Making, ...]
    groups: tuple[ParameterGroup, ...]
    """Each trained parameter is in one of them."""
    schedule: Making | None
    batch: int
    epochs: int | None
    steps: int | None
    accumulate: int
    """How many batches a step is made from."""
    warmup: int | None
    """In how many steps the rate rises to its own."""
    clip: Clipping | None
    ema: float | None
    """What the average of the parameters keeps of itself at each step."""
    monitor: Monitor | None
    early_stopping: EarlyStopping | None
    precision: Precision
    metrics: tuple[Measure, ...]
    watch: tuple[str, ...]
    """Canonical names of parameters and buffers, in the order of the plan."""
    logs: Logs
    span: Span
    """The key of the section."""


@stage("train")
def read_training(inferred: Inferred, plan: Plan) -> Training | None:
    """Return the checked `train` section of a spec, or None if it has none.

    Raises:
        SpecError: with every reason why the section is refused.
    """
    train = inferred.program.train
    return SectionReader(inferred, plan, train).read() if train is not None else None


@dataclass(eq=False)
class SectionReader:
    """Reads one section; problems are collected."""

    inferred: Inferred
    plan: Plan
    train: Train
    problems: list[Diagnostic] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scope: Scope = self.inferred.program.scope

    def read(self) -> Training:
        """Return the section, or raise what is wrong with it."""
        train = self.train
        data = self._try(lambda: read_source(train.data, self.inferred.program))
        loss = self._try(lambda: self._loss(data)) if data is not None else None
        grouping = self._try(lambda: read_groups(train, self.plan, self.scope))
        schedule = self._call(train.schedule, schedules)
        if grouping is not None and schedule is not None:
            self.problems.extend(rate_problems(schedule, grouping))
        batch, epochs, steps = (self._whole(key) for key in ("batch", "epochs", "steps"))
        accumulate, warmup = self._whole("accumulate"), self._whole("warmup")
        clip, ema, precision = self._clip(), self._ema(), self._try(self._precision)
        # Without what has the metrics nothing trains either: `runtime.train` refuses.
        named = train.metrics if TRAIN.problem() is None else ()
        measures = [self._try(lambda n=name: self._measure(n, data, loss)) for name in named]  # type: ignore[misc]
        monitor = self._try(lambda: self._monitor(data, measures)) if data is not None else None
        stopping = self._try(lambda: read_early_stopping(train, self.scope.variables))
        watch = self._watch()
        self._check_length()
        self._check_trainable()
        if self.problems:
            raise SpecError(self.problems)
        assert data is not None
        assert loss is not None
        assert batch is not None
        found = tuple(measure for measure in measures if measure is not None)
        place = self.inferred.program.document.at("train")
        assert grouping is not None
        return Training(
            data,
            loss,
            grouping[0],
            grouping[1],
            schedule,
            batch,
            epochs,
            steps,
            accumulate or 1,
            warmup,
            clip,
            ema,
            monitor,
            stopping,
            precision,
            found,
            watch,
            read_logs(train),
            place,
        )

    def _try(self, read: Callable[[], Any]) -> Any:
        """Return what `read` gives, or None where that is refused."""
        try:
            return read()
        except SpecError as error:
            self.problems.extend(error.diagnostics)
            return None

    def _call(self, scalar: Scalar | None, table: Callable[[], Any]) -> Any:
        return self._try(lambda: read_making(scalar, table(), self.scope)) if scalar is not None else None

    # Expressions over the output and the batch.

    def _loss(self, data: DataSource) -> Objective:
        loss = read_objective("loss", [parse_value(self.train.loss)], data.fields, self.scope)
        batch = example_batch(data, self.inferred)
        if batch.keys() >= set(loss.fields):
            with meta_device(default_dtype(self.inferred.program)):
                values = {OUTPUT: self.inferred.output, **batch}
                check_scalar(loss, try_objective(self.inferred.context(), loss, self.scope, values)[0])
        return loss

    def _measure(self, name: str, data: DataSource | None, loss: Objective | None) -> Measure | None:
        place = self.train.keys_of("metrics")[name].span
        if name in LOGGED:
            raise refuse("reserved-name", f"the log has a column `{name}` of its own", place)
        if data is not None and data.test is None and data.validation is None:
            raise refuse(
                "no-test-split",
                "metrics are computed on the test split, and there is none",
                place,
                labels=(Label(data.span, "the data"),),
                help="hold a part of the data back: `test: 0.2`",
            )
        written = self.train.metrics[name]
        call = written.metric if isinstance(written, Metric) else written
        making = read_making(call, metrics(), self.scope)
        sketched_metric(making)
        if data is None or loss is None:
            return None
        return Measure(name, making, self._compared(name, written, call, data, loss))

    def _monitor(self, data: DataSource, measures: list[Measure | None]) -> Monitor | None:
        if TRAIN.problem() is not None or None in measures:  # what they say of themselves is not known
            return None
        named = {each.name: sketched_metric(each.making) for each in measures if each is not None}
        return read_monitor(self.train, data, named)

    def _compared(
        self, name: str, written: Metric | Scalar, call: Scalar, data: DataSource, loss: Objective
    ) -> Objective:
        """Return what a metric compares: if not written, the output and the field that the loss names last."""
        title = f"metric_{name}"
        if isinstance(written, Metric):
            expressions = [parse_expression(each) for each in written.of]
            return read_objective(title, expressions, data.fields, self.scope)
        if not loss.fields:
            raise refuse(
                "missing-argument",
                f"the loss names no field of the batch that `{name}` could compare the output with",
                call.span,
                help=f"write `{{metric: ..., of: [{OUTPUT}, FIELD]}}`",
            )
        expressions = [
            parse_expression(Scalar(text, call.span, call.style, text)) for text in (OUTPUT, loss.fields[-1])
        ]
        return read_objective(title, expressions, data.fields, self.scope)

    # Numbers.

    def _number(self, scalar: Scalar) -> Any:
        return evaluate(parse_expression(scalar), self.scope.variables)

    def _whole(self, key: str) -> int | None:
        scalar = getattr(self.train, key)
        value = self._try(lambda: self._number(scalar)) if scalar is not None else None
        if value is None:
            return None
        if type(value) is not int or value < 1:
            message = f"`{key}` is a whole number from 1, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, scalar.span))
            return None
        return value

    def _clip(self) -> Clipping | None:
        written = self.train.clip
        if not isinstance(written, Clip):
            value = self._positive("clip", written)
            return Clipping("norm", value) if value is not None else None
        given = [key for key in ("norm", "value") if written.has(key)]
        if len(given) != 1:
            message = "a gradient is clipped by its `norm` or by `value`, one of them"
            self.problems.append(Diagnostic("conflicting-keys", message, self.train.at("clip")))
            return None
        value = self._positive(given[0], getattr(written, given[0]))
        return Clipping("norm" if given[0] == "norm" else "value", value) if value is not None else None

    def _positive(self, key: str, scalar: Scalar | None) -> float | None:
        value = self._try(lambda: self._number(scalar)) if scalar is not None else None
        if scalar is None or value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            what = "the largest absolute value" if key == "value" else "the largest norm"
            message = f"`{key}` is {what} of the gradient, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, scalar.span))
            return None
        return float(value)

    def _ema(self) -> float | None:
        scalar = self.train.ema
        value = self._try(lambda: self._number(scalar)) if scalar is not None else None
        if scalar is None or value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            message = f"`ema` is what the average keeps of itself, between 0 and 1, and this is {value!r}"
            self.problems.append(Diagnostic("bad-size", message, scalar.span))
            return None
        return float(value)

    def _precision(self) -> Precision:
        scalar = self.train.precision
        if scalar is None:
            return PRECISIONS[0]
        found = next((each for each in PRECISIONS if each == scalar.text), None)
        if found is None:
            near = did_you_mean(scalar.text, PRECISIONS)
            raise refuse(
                "unknown-precision",
                f"there is no precision `{scalar.text}`",
                scalar.span,
                notes=(f"there are {', '.join(PRECISIONS)}",),
                help=f"did you mean `{near}`?" if near else None,
            )
        return found

    def _check_length(self) -> None:
        given = [key for key in ("epochs", "steps") if self.train.has(key)]
        if len(given) == 2:
            message = "a training ends after `epochs` or after `steps`, not both"
            self.problems.append(Diagnostic("conflicting-keys", message, self.train.at("steps")))
        elif not given:
            message = "the training has no end"
            place = self.train.at("batch")
            self.problems.append(
                Diagnostic("missing-key", message, place, help="write `epochs: 10`, or `steps: 1000`")
            )

    # Parameters.

    def _watch(self) -> tuple[str, ...]:
        chosen: set[str] = set()
        root = self.inferred.root
        for scalar in self.train.watch:
            with self._collecting():
                selector = read_selector(scalar)
                rows = self.plan.select(selector)
                chosen |= {row.name for row in rows}
                if not rows and not self._takes_nothing(selector):
                    everywhere = RuleScope((), Rules(), root)
                    rule = SelectorRule(selector, scalar.span)
                    self.problems.append(unused_selector(rule, everywhere, self.plan.table))
        return tuple(row.name for row in self.plan.rows if row.name in chosen)

    def _takes_nothing(self, selector: Selector) -> bool:
        table = self.plan.table
        return takes_nothing(bind(selector, table.values, table), table, (), False)

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        try:
            yield
        except SpecError as error:
            self.problems.extend(error.diagnostics)

    def _check_trainable(self) -> None:
        if not any(row.trainable for row in self.plan.parameters):
            message = "the model has no parameter that is trained"
            self.problems.append(Diagnostic("nothing-to-train", message, self.train.at("optimizer")))
