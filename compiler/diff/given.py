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
    """A map as it is written: a module of the second model, and the one of the first that it is."""

    text: str
    after: str
    before: str


def read_map(text: str) -> Map:
    """Read a map. MapProblem if it is none."""
    after, sign, before = text.partition("=")
    if not sign or not after.strip() or not before.strip():
        raise MapProblem(
            f"`{text}` is no map", "write `NEW = OLD`: `encoder.layer.{i} = encoder.layer.{2 * i}`"
        )
    names = HOLE.findall(after)
    if len(names) > 1 or not all(map(_NAME.fullmatch, names)):
        raise MapProblem(
            f"`{after.strip()}` has more than one name in braces", "write `layer.{i}` on the left"
        )
    return Map(text, after.strip(), before.strip())


def given_pairs(texts: Iterable[str], before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str]]:
    """Return the paths of modules that belong together, first of the first model, as some maps say.

    Raises:
        MapProblem: a map names a module that is not there, or one has two partners.
    """
    found = [pair for text in texts for pair in _pairs(read_map(text), before, after)]
    for side in (0, 1):
        paths = [pair[side] for pair in found]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise MapProblem(f"the maps give `{twice}` two partners")
    return found


def _pairs(each: Map, before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    pattern = re.compile(_anywhere(each.after) + r"(\d+)".join(map(re.escape, _texts(each.after))))
    matches = [match for path in after if (match := pattern.fullmatch(path))]
    if not matches:
        raise MapProblem(f"no module of the second model is `{each.after}`", _near(each.after, after))
    if len({match[0][: match.start(1)] for match in matches if match.groups()}) > 1 or (
        len(matches) > 1 and not matches[0].groups()
    ):
        places = " and ".join(f"`{match[0]}`" for match in matches[:2])
        raise MapProblem(f"`{each.after}` is in several places: {places}", "write more of the path in front")
    for match in matches:
        yield _source(each, match, before), match[0]


def _source(each: Map, match: re.Match[str], before: Sequence[str]) -> str:
    """Return the module of the first model that one of the second is."""
    names = {name: int(match[1]) for name in HOLE.findall(each.after)}
    text = HOLE.sub(lambda hole: str(_number(hole[1], names, each)), each.before)
    pattern = re.compile(_anywhere(text) + re.escape(text.removeprefix("/")))
    found = [path for path in before if pattern.fullmatch(path)]
    if not found:
        raise MapProblem(f"no module of the first model is `{text}`, for `{match[0]}`", _near(text, before))
    if len(found) > 1:
        raise MapProblem(
            f"`{text}` is in several places: `{found[0]}` and `{found[1]}`", "write more of the path in front"
        )
    return found[0]


def _number(text: str, names: dict[str, int], each: Map) -> object:
    span = Span(SourceFile("--map", text), 0, len(text))
    try:
        return evaluate(parse_expression(Scalar(text, span, "plain", text)), names)
    except SpecError as error:
        raise MapProblem(
            f"`{each.text}`: {error.diagnostics[0].message}", error.diagnostics[0].help
        ) from None


def _texts(pattern: str) -> list[str]:
    return HOLE.sub("{}", pattern.removeprefix("/")).split("{}")


def _anywhere(pattern: str) -> str:
    return "" if pattern.startswith("/") else r"(?:.*\.)?"


def _near(text: str, paths: Sequence[str]) -> str | None:
    near = did_you_mean(text.removeprefix("/"), [path for path in paths if path])
    return f"did you mean `{near}`?" if near else None
