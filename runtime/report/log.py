"""The curves of a training, read from its log."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compiler.training.monitor import LOSS, VALIDATION
from runtime.report.charts import Chart, Point, Series, line_chart, short, thinned
from runtime.training.log import LAST

TRAIN, VALIDATED, TESTED = 0, 1, 2
"""The styles of lines by split."""
LOSSES = {"train_loss": TRAIN, LOSS: VALIDATED, "test_loss": TESTED}
TOGETHER = 6
"""Lines in a chart of norms."""
MOST_CHARTS = 4
RATE, NORM, GRADIENT = "lr", "norm/", "grad_norm/"


@dataclass
class Columns:
    """The log by columns: results over epochs, and what is logged at each step."""

    epochs: dict[str, list[Point]] = field(default_factory=dict)
    steps: dict[str, list[Point]] = field(default_factory=dict)


def read_columns(path: Path) -> Columns:
    """Return what a log has: nothing where a callback has taken the loggers away."""
    found = Columns()
    if not path.exists():
        return found
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            into, at = (found.epochs, "epoch") if row.get(LAST) else (found.steps, "step")
            for name, text in row.items():
                if text and name not in ("epoch", "step"):
                    into.setdefault(name, []).append((float(row[at]), float(text)))
    return found


@dataclass(frozen=True)
class Table:
    """The results of each epoch as they are read aloud, or copied. Of many epochs some are left out."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Curves:
    """All charts of a training."""

    results: Sequence[Chart]
    norms: Sequence[Chart]
    left_out: int
    """Watched tensors that are in the log alone."""
    table: Table


def curves(columns: Columns, metrics: Sequence[str], best: int | None) -> Curves:
    """Return the charts of a log. `best` is the epoch whose model is saved."""
    epochs, steps = columns.epochs, columns.steps
    losses = [Series(name, epochs[name], style) for name, style in LOSSES.items() if name in epochs]
    charts = [line_chart("Loss", "epoch", losses, best, logarithmic=True)]
    charts += [line_chart(name, "epoch", _metric(name, epochs), best) for name in metrics]
    each = [Series("loss", steps.get("loss", []))]
    charts.append(line_chart("Loss of each step", "step", each, logarithmic=True))
    charts.append(line_chart("Learning rate", "step", _rates(steps)))
    norms = [*_norms("Norm", NORM, steps), *_norms("Norm of the gradient", GRADIENT, steps)]
    watched = len({name for name in steps if name.startswith(NORM)})
    return Curves(
        [chart for chart in charts if chart is not None],
        norms,
        max(watched - TOGETHER * MOST_CHARTS, 0),
        _table(epochs),
    )


def _metric(name: str, epochs: Mapping[str, Sequence[Point]]) -> list[Series]:
    found = {VALIDATION + name: VALIDATED, name: TESTED}
    return [Series(column, epochs[column], style) for column, style in found.items() if column in epochs]


def _rates(steps: Mapping[str, Sequence[Point]]) -> list[Series]:
    groups = [name for name in steps if name.startswith(f"{RATE}/")]
    names = groups[:TOGETHER] or [RATE]
    return [Series(name, steps.get(name, []), style) for style, name in enumerate(names)]


def _norms(title: str, prefix: str, steps: Mapping[str, Sequence[Point]]) -> Iterator[Chart]:
    names = sorted(name for name in steps if name.startswith(prefix))
    for first in range(0, min(len(names), TOGETHER * MOST_CHARTS), TOGETHER):
        part = names[first : first + TOGETHER]
        series = [Series(name.removeprefix(prefix), steps[name], style) for style, name in enumerate(part)]
        chart = line_chart(title, "step", series, logarithmic=True)
        if chart is not None:
            yield chart


def _table(epochs: Mapping[str, Sequence[Point]]) -> Table:
    by_epoch: dict[float, dict[str, float]] = {}
    for name, points in epochs.items():
        for epoch, value in points:
            by_epoch.setdefault(epoch, {})[name] = value
    names = list(epochs)
    chosen = thinned([(epoch, 0.0) for epoch in sorted(by_epoch)])
    rows = [_cells(epoch, by_epoch[epoch], names) for epoch, _ in chosen]
    return Table(names, rows)


def _cells(epoch: float, values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [short(epoch), *(short(values[name]) if name in values else "" for name in names)]
