"""What comes of a property: it holds, an example breaks it, or it could not be tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from runtime.testing.case import Case
from spec_schema.shown import shown


class Failure(AssertionError):
    """A property does not hold. The message says what was found, in numbers; `cause` is what is likely behind it."""

    def __init__(self, message: str, cause: str | None = None) -> None:
        super().__init__(shown(message))
        self.message, self.cause = message, cause


class Skip(Exception):
    """A property says nothing about an example, for a reason."""


class Result(StrEnum):
    """How a property stands."""

    holds = "holds"
    fails = "FAILS"
    follows = "follows"
    """It fails, for a cause that is told of another one."""
    excepted = "excepted"
    """The hints say that the layer does not have it."""
    silent = "not tried"
    """It says nothing about any example that was drawn."""


@dataclass(frozen=True)
class Property:
    """Something that layers are expected to have. `check` raises Failure if an example has it not."""

    name: str
    promise: str
    check: Callable[[Case], None]
    examples: int = 1000
    """At most so many examples are tried."""


@dataclass(frozen=True)
class Verdict:
    """What came of one property of one layer.

    `reason` says why it is excepted or not tried, `case` is the smallest example that breaks it.
    """

    property: Property
    result: Result
    examples: int = 0
    reason: str | None = None
    case: Case | None = None
    failure: Failure | None = None
