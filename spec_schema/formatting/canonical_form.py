"""The text of a spec -> its canonical form: text, tree, comments, lines. No value changes."""

from __future__ import annotations

from spec_schema.canonical import plain, to_json
from spec_schema.formatting.comments import place_comments
from spec_schema.formatting.layout import Layout
from spec_schema.formatting.order import in_order
from spec_schema.formatting.tree import Tree, tree_of
from spec_schema.json_events import json_events
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import read_text
from spec_schema.source import SourceFile
from spec_schema.validation import validate
from spec_schema.yaml_events import yaml_events

_LONGEST_KEY = 1000
"""Characters; YAML ends a key at 1024."""


def is_json(name: str) -> bool:
    """Return whether a file of this name holds JSON."""
    return name.endswith(".json")


def formatted(text: str, name: str) -> str:
    """Return the canonical form of a spec, in the notation in which it is written.

    Raises:
        SpecError: the text is no spec.
    """
    validate(read_text(text, name, DEFAULT_LIMITS))
    return as_json(text, name) if is_json(name) else as_yaml(text, name)


def as_json(text: str, name: str) -> str:
    """Return a spec as JSON. Comments have no place there."""
    return to_json(in_order(plain(read_text(text, name, DEFAULT_LIMITS))))


def as_yaml(text: str, name: str) -> str:
    """Return a spec as YAML."""
    tree = tree_from(text, name)
    if not is_json(name):
        place_comments(tree)
    if any(leaf.end - leaf.start > _LONGEST_KEY for entry in tree.entries if (leaf := entry.key)):
        return text
    found = Layout(is_json(name), keeps_order=not tree.is_plain).document(tree)
    before, after = (
        plain(read_text(*each, DEFAULT_LIMITS)) for each in ((text, name), (found, "canonical.yaml"))
    )
    assert before == after, "the canonical form of a spec holds other values"
    return found


def tree_from(text: str, name: str) -> Tree:
    """Return the tree of a text that was read without an error."""
    file = SourceFile(name, text.removeprefix("\ufeff"))
    events = json_events(file, DEFAULT_LIMITS) if is_json(name) else yaml_events(file, DEFAULT_LIMITS)
    return tree_of(file, events)
