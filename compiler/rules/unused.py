"""Rules that match nothing, with what was probably meant."""

from __future__ import annotations

import re

from compiler.infer.states import BlockState
from compiler.program import CallBody, ModuleBody
from compiler.resolve.calls import meant
from compiler.rule_records import InitRule, ParametrizeRule, PlacementRule, Selecting, SelectorRule
from compiler.rules.items import bind
from compiler.rules.table import RuleScope, Table
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.selectors import parse_selector, path_of
from spec_schema.source import Span
from spec_schema.suggest import did_you_mean

SHOWN = 6
"""Parameters named in a note."""
PART_OF_NAME = re.compile(r"(?<=[\w\]])\[(\d+-\d+)\]")
SECTIONS = {
    InitRule: "init",
    SelectorRule: "freeze",
    PlacementRule: "placement",
    ParametrizeRule: "parametrize",
}


def unused_rule(rule: Selecting, scope: RuleScope, table: Table) -> Diagnostic:
    """Return the diagnostic of a rule that matches no parameter."""
    section = SECTIONS[type(rule)]
    return _unused(f"this {section} rule matches no parameter", rule.selector.text, rule.span, scope, table)


def unused_selector(rule: SelectorRule, scope: RuleScope, table: Table) -> Diagnostic:
    """Return the diagnostic of a selector of a share group that names nothing."""
    return _unused("this selector matches nothing", rule.selector.text, rule.span, scope, table)


def _unused(message: str, text: str, span: Span, scope: RuleScope, table: Table) -> Diagnostic:
    near = nearest_selector(text, scope, table)
    help_text = (
        f"did you mean `{near[0]}`? it matches {near[1]} parameter{'' if near[1] == 1 else 's'}"
        if near
        else None
    )
    return Diagnostic(
        "unused-rule", message, span, notes=() if near else (_inside(scope, table),), help=help_text
    )


def _inside(scope: RuleScope, table: Table) -> str:
    """Return a note of the parameters that can be matched."""
    depth = len(scope.steps)
    names = [path_of(row.steps[depth:]) for row in table.below(scope.steps)]
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"there are {len(names):,}: {shown}" if names else "there are none"


def _keys(scope: RuleScope, table: Table) -> dict[str, str]:
    """Return the keys of layers by the names that programs call them by, and their types by blocks that are one."""
    states = {module.state for module in table.modules}
    bodies = [state.definition.body for state in states if isinstance(state, BlockState)]
    found = {a: key for body in bodies if isinstance(body, ModuleBody) for key, a in body.aliases.items()}
    blocks = scope.state.definition.scope.blocks.items()
    return found | {name: meant(d.body.call).target for name, d in blocks if isinstance(d.body, CallBody)}


def nearest_selector(text: str, scope: RuleScope, table: Table) -> tuple[str, int] | None:
    """Return a selector like `text` that matches something, with its count of matches.

    Each component that no path has is replaced by the nearest name or type there is, and `h[0-3]`, which goes on
    with the name, by `h.[0-3]`.
    """
    depth = len(scope.steps)
    paths = [row.steps[depth:] for row in table.below(scope.steps)]
    known = {word for path in paths for step in path for word in (step.name, step.kind) if word}
    components = PART_OF_NAME.sub(r".[\1]", text.removeprefix("/")).split(".")
    keys = _keys(scope, table)
    mended = [
        c if c in known or set(c) & set("*?[{") else keys.get(c) or did_you_mean(c, known) or c
        for c in components
    ]
    candidate = ("/" if text.startswith("/") else "") + ".".join(mended)
    if candidate == text:
        return None
    try:
        selector = bind(parse_selector(candidate, None), scope.state.values, table, scope.steps)
    except SpecError:
        return None
    count = sum(selector.matches(path) for path in paths)
    return (candidate, count) if count else None
