"""What a training writes beside the CSV log, on which resuming and the report rest."""

from __future__ import annotations

from dataclasses import dataclass

from spec_schema.reader import Scalar
from spec_schema.source import Span
from spec_schema.train_section import Train


@dataclass(frozen=True)
class Logs:
    """Whether there is a report, and whether TensorBoard has a log too. A spec names no place to write to."""

    report: bool = True
    tensorboard: bool = False
    span: Span | None = None
    """The key of the section, if it is written."""


def read_logs(train: Train) -> Logs:
    """Return what a training writes."""
    written = train.log
    if written is None:
        return Logs()
    return Logs(_flag(written.report, True), _flag(written.tensorboard, False), train.at("log"))


def _flag(scalar: Scalar | None, default: bool) -> bool:
    return default if scalar is None else bool(scalar.value)
