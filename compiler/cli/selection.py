"""A selector on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from compiler.cli.outcome import UsageProblem
from spec_schema.diagnostics import SpecError
from spec_schema.selectors import Selector, parse_selector

if TYPE_CHECKING:
    from compiler.artifact import Artifact
    from compiler.rules.plan import PlanRow

EVERYTHING = "/"

SelectorText = Annotated[
    str | None,
    typer.Argument(
        metavar="[SELECTOR]",
        show_default=False,
        help="Which parameters: `head.weight`, `Linear.bias`, `h.*.attn`; all of them if left out.",
    ),
]


def read_selector(text: str | None) -> Selector:
    """Return a selector. UsageProblem if the text is not one."""
    try:
        return parse_selector(text or EVERYTHING, None)
    except SpecError as error:
        raise _problem(text, error) from None


def _problem(text: str | None, error: SpecError) -> UsageProblem:
    problem = error.diagnostics[0]
    return UsageProblem(f"`{text}`: {problem.message}", problem.help)


def select(artifact: Artifact, text: str | None) -> list[PlanRow]:
    """Return the rows of the plan that a selector names.

    Raises:
        UsageProblem: it names none, or is no selector.
    """
    selector = read_selector(text)
    try:
        rows = artifact.plan.select(selector)
    except SpecError as error:
        raise _problem(text, error) from None
    if rows or selector.text == EVERYTHING:
        return rows
    from compiler.rule_records import Rules
    from compiler.rules.table import RuleScope
    from compiler.rules.unused import nearest_selector

    everywhere = RuleScope((), Rules(), artifact.inferred.root)
    near = nearest_selector(selector.text, everywhere, artifact.plan.table)
    plural = "" if near and near[1] == 1 else "s"
    raise UsageProblem(
        f"`{selector.text}` names no parameter",
        f"did you mean `{near[0]}`? it names {near[1]} tensor{plural}"
        if near
        else "`params` without a selector lists all",
    )
