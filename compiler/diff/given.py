"""Which modules the caller says belong together: `encoder.layer.{i} = encoder.layer.{2 * i}`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import evaluate
from spec_schema.grammar import parse_expression
from spec_schema.scalars import Scalar
from spec_schema.shown import ShownError
from spec_schema.source import SourceFile, Span
from spec_schema.suggest import did_you_mean

HOLE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_]\w*")


class MapProblem(ShownError):
    """A map that cannot be followed."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class Map:
    """A map as it is written. `counted` is the side with a name alone in braces, and `computed` the other one.

    What is counted is of the second model, but where `turned`.
    """

    text: str
    counted: str
    computed: str
    turned: bool

    def model(self, counted: bool) -> str:
        """Return which model a side is of."""
        return "first" if counted is self.turned else "second"


def read_map(text: str) -> Map:
    """Read a map. MapProblem if it is none."""
    after, sign, before = (part.strip() for part in text.partition("="))
    if not sign or not after or not before:
        raise MapProblem(
            f"`{text}` is no map", "write `NEW = OLD`: `encoder.layer.{i} = encoder.layer.{2 * i}`"
        )
    if _is_counted(after):
        return Map(text, after, before, False)
    if _is_counted(before):
        return Map(text, before, after, True)
    raise MapProblem(
        f"neither side of `{text}` has one name alone in braces", "write `layer.{i} = layer.{2 * i}`"
    )


def _is_counted(pattern: str) -> bool:
    names = HOLE.findall(pattern)
    return len(names) <= 1 and all(map(_NAME.fullmatch, names))


def given_pairs(texts: Iterable[str], before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str]]:
    """Return the paths of modules that belong together, first of the first model, as some maps say.

    Raises:
        MapProblem: a map names a module that is not there, or one has two partners.
    """
    found: list[tuple[str, str]] = []
    for each in map(read_map, texts):
        if each.turned:
            found += _pairs(each, before, after)
        else:
            found += ((one, other) for other, one in _pairs(each, after, before))
    for side in (0, 1):
        paths = [pair[side] for pair in found]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise MapProblem(f"the maps give `{twice}` two partners")
    return found


def _pairs(each: Map, counted: Sequence[str], computed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the modules that a map names: the one that is counted, then its partner."""
    pattern = re.compile(_anywhere(each.counted) + r"(\d+)".join(map(re.escape, _texts(each.counted))))
    matches = [match for path in counted if (match := pattern.fullmatch(path))]
    if not matches:
        message = f"no module of the {each.model(True)} model is `{each.counted}`"
        raise MapProblem(message, _near(each.counted, counted))
    beginnings = {match[0][: match.start(1)] if match.groups() else match[0] for match in matches}
    if len(beginnings) > 1:
        raise _several(each.counted, [match[0] for match in matches])
    for match in matches:
        yield match[0], _partner(each, match, computed)


def _several(text: str, paths: Sequence[str]) -> MapProblem:
    first, second, *_ = paths
    message = f"`{text}` is in several places: `{first}` and `{second}`"
    return MapProblem(message, "write more of the path in front, from the root after a `/`")


def _partner(each: Map, match: re.Match[str], paths: Sequence[str]) -> str:
    """Return the module that another one belongs to."""
    names = {name: int(match[1]) for name in HOLE.findall(each.counted)}
    text = HOLE.sub(lambda hole: str(_number(hole[1], names, each)), each.computed)
    pattern = re.compile(_anywhere(text) + re.escape(text.removeprefix("/")))
    found = [path for path in paths if pattern.fullmatch(path)]
    if not found:
        message = f"no module of the {each.model(False)} model is `{text}`, for `{match[0]}`"
        raise MapProblem(message, _near(text, paths))
    if len(found) > 1:
        raise _several(text, found)
    return found[0]


def _number(text: str, names: dict[str, int], each: Map) -> object:
    span = Span(SourceFile("--map", text), 0, len(text))
    try:
        number = evaluate(parse_expression(Scalar(text, span, "plain", text)), names)
    except SpecError as error:
        raise MapProblem(
            f"`{each.text}`: {error.diagnostics[0].message}", error.diagnostics[0].help
        ) from None
    if isinstance(number, float):
        values = ", ".join(f"{name} = {value}" for name, value in names.items())
        message = f"`{each.text}`: `{text}` is {number}{f' at {values}' if values else ''}"
        raise MapProblem(message, "an index must be a whole number: divide by `//`")
    return number


def _texts(pattern: str) -> list[str]:
    return HOLE.sub("{}", pattern.removeprefix("/")).split("{}")


def _anywhere(pattern: str) -> str:
    return "" if pattern.startswith("/") else r"(?:.*\.)?"


def _near(text: str, paths: Sequence[str]) -> str | None:
    near = did_you_mean(text.removeprefix("/"), [path for path in paths if path])
    return f"did you mean `{near}`?" if near else None
