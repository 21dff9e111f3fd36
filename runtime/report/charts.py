"""Charts: where the lines, points and labels of a picture are, for the template to draw as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 36
"""Margins around the area of the lines: labels stand in two of them."""
MOST_POINTS = 200
"""Points of a line; of more, some are left out evenly."""
FEW_POINTS = 25
"""So many points are marked on their line, each with its value."""
TICKS = 4
LARGEST = 1e300
"""What is larger is not drawn: the range of an axis would overflow."""
LOGARITHMIC = 100.0
"""The ratio of the largest value to the smallest from which an axis is logarithmic."""


@dataclass(frozen=True)
class Series:
    """A line by its name. `style` is the number of its colour and dashes."""

    name: str
    points: Sequence[Point]
    style: int = 0


@dataclass(frozen=True)
class Tick:
    """A label of an axis, and where it is."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A point of a line as it is drawn, with what it says."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line as it is drawn."""

    name: str
    style: int
    path: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Chart:
    """A picture as it is drawn. `told` is what it shows, in words."""

    kind: Literal["lines", "points", "bars"]
    title: str
    told: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marker: Tick | None = None
    """An upright line, such as that of the best epoch."""
    logarithmic: bool = False

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM


@dataclass(frozen=True)
class Axis:
    """From values to places of the picture."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        change = math.log10 if self.logarithmic else float
        low, high = change(self.low), change(self.high)
        share = (change(value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, whole: bool = False) -> tuple[Tick, ...]:
        """Return round values between the ends. `whole` ones are numbers of epochs or steps."""
        return tuple(Tick(self(value), short(value)) for value in self._values(whole))

    def _values(self, whole: bool) -> list[float]:
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = -(-(last - first + 1) // (TICKS + 2))
            return [10.0**power for power in range(first, last + 1, max(every, 1))]
        step = _round_step((self.high - self.low) / TICKS, whole)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(step: float, whole: bool) -> float:
    """Return the next of 1, 2, 5, 10, ..."""
    power = 10.0 ** math.floor(math.log10(step))
    found = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
    return max(found, 1.0) if whole else found


def short(value: float) -> str:
    """Return a number in a few digits."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> Sequence[Point]:
    """Return no more than so many points, from the first to the last."""
    if len(points) <= most:
        return points
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]


def line_chart(
    title: str,
    x_label: str,
    series: Iterable[Series],
    marker: float | None = None,
    logarithmic: bool = False,
) -> Chart | None:
    """Return a chart of lines over epochs or steps, None if there is nothing to show.

    Values that are far apart have a `logarithmic` scale, if that is allowed.
    """
    found = [Series(each.name, _finite(each.points), each.style) for each in series]
    found = [each for each in found if each.points]
    if not any(len(each.points) > 1 for each in found):
        return None
    x, y = _x_axis(found), _y_axis(found, logarithmic)
    lines = tuple(_line(each, x, y, x_label) for each in found)
    told = ". ".join(_told(each) for each in found)
    place = None if marker is None else Tick(x(marker), short(marker))
    ticks = x.ticks(whole=True), y.ticks()
    return Chart("lines", title, told, x_label, "", lines, *ticks, place, y.logarithmic)


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if all(abs(value) < LARGEST for value in point)]


def _x_axis(series: Sequence[Series]) -> Axis:
    places = [x for each in series for x, _ in each.points]
    low, high = min(places), max(places)
    return Axis(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)


def _y_axis(series: Sequence[Series], allowed: bool) -> Axis:
    values = [y for each in series for _, y in each.points]
    low, high = min(values), max(values)
    logarithmic = allowed and low > 0 and high / low >= LOGARITHMIC
    if not logarithmic:
        low, high = widened(low, high)
    return Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)


def widened(low: float, high: float) -> tuple[float, float]:
    """Return a range with some room around it."""
    room = (high - low) * 0.05 or max(abs(low) * 0.05, 1e-6)
    return low - room, high + room


def _line(series: Series, x: Axis, y: Axis, unit: str) -> Line:
    points = thinned(series.points)
    path = " ".join(f"{x(at):g},{y(value):g}" for at, value in points)
    marked = points if len(points) <= FEW_POINTS else ()
    marks = (
        Mark(x(at), y(value), f"{series.name}, {unit} {short(at)}: {short(value)}") for at, value in marked
    )
    return Line(series.name, series.style, path, tuple(marks))


def _told(series: Series) -> str:
    values = [y for _, y in series.points]
    first, last = short(values[0]), short(values[-1])
    return (
        f"{series.name}: from {first} to {last}, smallest {short(min(values))}, largest {short(max(values))}"
    )


def scatter_chart(title: str, x_label: str, y_label: str, points: Sequence[Point]) -> Chart | None:
    """Return a chart of points, with the line on which both coordinates are equal."""
    points = thinned(_finite(points), 1_000)
    if not points:
        return None
    values = [value for point in points for value in point]
    low, high = widened(min(values), max(values))
    x, y = Axis(low, high, LEFT, WIDTH - RIGHT), Axis(low, high, HEIGHT - BOTTOM, TOP)
    diagonal = Line("equal", 0, f"{x(low):g},{y(low):g} {x(high):g},{y(high):g}", ())
    marks = tuple(Mark(x(a), y(b), "") for a, b in points)
    told = f"{len(points)} points between {short(min(values))} and {short(max(values))}"
    lines = (diagonal, Line(y_label, 0, "", marks))
    return Chart("points", title, told, x_label, y_label, lines, x.ticks(), y.ticks())


def histogram(title: str, x_label: str, values: Sequence[float], bins: int = 24) -> Chart | None:
    """Return a chart of how often values come."""
    values = [value for value in values if abs(value) < LARGEST]
    if not values:
        return None
    low, high = widened(min(values), max(values))
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    x, y = Axis(low, high, LEFT, WIDTH - RIGHT), Axis(0, max(counts) * 1.05, HEIGHT - BOTTOM, TOP)
    edges = [low + number * (high - low) / bins for number in range(bins)]
    marks = (
        Mark(x(edge), y(count), f"from {short(edge)}: {count}")
        for edge, count in zip(edges, counts, strict=True)
    )
    told = f"{len(values)} values from {short(min(values))} to {short(max(values))}"
    lines = (Line("count", 0, "", tuple(marks)),)
    ticks = y.ticks(whole=True)
    return Chart("bars", title, told, x_label, "how many", lines, x.ticks(), ticks)
