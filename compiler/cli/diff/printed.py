"""A comparison, printed in the form that is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum

from compiler.artifact import Artifact
from compiler.cli.console import out, say, say_changes
from compiler.cli.diff.as_json import as_json
from compiler.cli.diff.markdown import markdown_lines
from compiler.cli.diff.sections import sections
from compiler.cli.diff.sides import Side
from compiler.cli.diff.text import GUTTER, text_lines
from compiler.cli.diff.totals import totals_of
from compiler.cli.outcome import UsageProblem
from compiler.diff.comparison import Comparison

INDENT = 2
"""How far items are indented in the canonical form of a spec."""


class Form(StrEnum):
    """What is printed of a comparison."""

    text = "text"
    json = "json"
    markdown = "markdown"
    rule = "rule"


def print_comparison(found: Comparison, sides: Sequence[Side], form: Form, everything: bool) -> None:
    """Print a comparison. UsageProblem if the rule is asked for, and there is none."""
    if form is Form.rule:
        _print_rule(found)
        return
    totals = totals_of(found.before), totals_of(found.after)
    title = " → ".join(dict.fromkeys(side.title for side in sides))
    if form is Form.json:
        print(json.dumps(as_json(found, *totals), indent=2))
    elif found.is_same:
        say(f"{title}: the same model")
    elif form is Form.markdown:
        say(*markdown_lines(title, sections(found, *totals)))
    else:
        first, *lines = text_lines(title, sections(found, *totals), out().width, everything)
        say_changes(first, gutter=len(first))
        say_changes(*lines, gutter=GUTTER)


def _print_rule(found: Comparison) -> None:
    if not found.weights.proven:
        raise UsageProblem("no rule loads the weights of A into B", found.weights.problem)
    margin = " " * _column(found.after)
    say(*(f"{margin}{line}" for line in found.weights.text.rstrip().splitlines()))


def _column(artifact: Artifact) -> int:
    """Return how far the items of `init` are indented in a spec, so that one more can stand below them."""
    document = artifact.program.document
    span = document.source("init").span if document.has("init") else None
    is_block = span is not None and span.text.startswith("-")
    return span.file.position(span.start)[1] - 1 if span is not None and is_block else INDENT
