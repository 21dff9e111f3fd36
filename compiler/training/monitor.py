"""What decides which epoch is the best one, and when a training ends early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from compiler.training.source import DataSource
from spec_schema.diagnostics import Label, refuse
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean
from spec_schema.train_section import Monitor as MonitorEntry
from spec_schema.train_section import Train

VALIDATION = "validation_"
"""What the names of results of the validation split begin with."""
LOSS = VALIDATION + "loss"
Mode = Literal["min", "max"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Monitor:
    """A result of the validation split, and whether the best one is the smallest or the largest."""

    name: str
    mode: Mode


@dataclass(frozen=True)
class EarlyStopping:
    """How many epochs without a better result end a training, and by how much one is better."""

    patience: int
    min_delta: float


def read_monitor(train: Train, data: DataSource, measures: Mapping[str, Any]) -> Monitor | None:
    """Return what is monitored, or None. `measures` are the metrics of torchmetrics by name.

    Raises:
        SpecError: there is no such result, or it does not say which one is the best.
    """
    place = next((train.at(key) for key in ("monitor", "early_stopping") if train.has(key)), None)
    if place is None:
        return None
    if data.validation is None:
        raise refuse(
            "no-validation-split",
            "the best epoch is chosen on the validation split, and there is none",
            place,
            labels=(Label(data.span, "the data"),),
            notes=("a model that is chosen on the test split is not tested",),
            help="hold a part of the data back: `validation: 0.1`",
        )
    written = train.monitor
    name = written.metric if isinstance(written, MonitorEntry) else written
    if name is None:
        return Monitor(LOSS, "min")
    _check_name(name, measures)
    mode = written.mode if isinstance(written, MonitorEntry) else None
    return Monitor(name.text, _mode(name, mode, measures))


def _check_name(name: Scalar, measures: Iterable[str]) -> None:
    known = [LOSS, *(VALIDATION + each for each in measures)]
    if name.text in known:
        return
    meant = VALIDATION + name.text
    near = meant if meant in known else did_you_mean(name.text, known)
    raise refuse(
        "unknown-name",
        f"there is no result `{name.text}` of the validation split",
        name.span,
        notes=(f"results: {', '.join(f'`{each}`' for each in known)}",),
        help=f"did you mean `{near}`?" if near else None,
    )


def _mode(name: Scalar, mode: Scalar | None, measures: Mapping[str, Any]) -> Mode:
    if mode is None:
        return "min" if name.text == LOSS else _better(name, measures[name.text.removeprefix(VALIDATION)])
    found = next((each for each in MODES if each == mode.text), None)
    if found is None:
        raise refuse(
            "bad-argument", f"the best result is the `min` or the `max`, not `{mode.text}`", mode.span
        )
    return found


def _better(name: Scalar, metric: Any) -> Mode:
    """Return what a metric says of itself."""
    higher = getattr(metric, "higher_is_better", None)
    if higher is None:
        raise refuse(
            "missing-key",
            f"whether a high `{name.text}` is a good one, the metric does not say",
            name.span,
            help=f"write `monitor: {{metric: {name.text}, mode: max}}`",
        )
    return "max" if higher else "min"


def read_early_stopping(train: Train, names: Mapping[str, object]) -> EarlyStopping | None:
    """Return when a training ends early, or None.

    Raises:
        SpecError: `patience` or `min_delta` is no number of its kind.
    """
    written = train.early_stopping
    if written is None:
        return None
    patience = evaluate(parse_expression(written.patience), names)
    if type(patience) is not int or patience < 1:
        raise _wrong("`patience` is a whole number from 1", patience, written.patience.span)
    delta = evaluate(parse_expression(written.min_delta), names) if written.min_delta is not None else 0.0
    if isinstance(delta, bool) or not isinstance(delta, int | float) or delta < 0:
        assert written.min_delta is not None
        raise _wrong("`min_delta` is a number from 0", delta, written.min_delta.span)
    return EarlyStopping(patience, float(delta))


def _wrong(expected: str, value: object, place: Span) -> Exception:
    return refuse("bad-size", f"{expected}, and this is {value!r}", place)
