"""PyTorch's own initialisation as rules of this language, in front of a spec's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from compiler.rule_records import InitRule
from spec_schema.grammar import parse_expression
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, Items, Scalar, read_file
from spec_schema.selectors import parse_selector

DEFAULTS = Path(__file__).parent.parent / "defaults.yaml"


@cache
def default_rules() -> tuple[InitRule, ...]:
    """Return the rules of `defaults.yaml`."""
    node = read_file(DEFAULTS, None, DEFAULT_LIMITS)
    assert isinstance(node, Items)
    rules = []
    for item in node:
        assert isinstance(item, Entries)
        for text, value in item.items():
            assert isinstance(value, Scalar)
            place = item.keys_at[text].span
            rules.append(InitRule(parse_selector(text, place), parse_expression(value), place))
    return tuple(rules)
