"""What changed in the sections of a document that are no layers: inputs, sizes, variables, presets and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.artifact import Artifact

SECTIONS = ("inputs", "dims", "vars", "presets", "requires", "train")
LONGEST = 60
"""Characters that are shown of a value."""


@dataclass(frozen=True)
class ValueChange:
    """A value of a section that is not as it was; None where it is not there. `key` is dotted where it is nested."""

    section: str
    key: str
    before: str | None
    after: str | None


def value_changes(before: Artifact, after: Artifact) -> list[ValueChange]:
    """Return the values that changed, section by section."""
    ours, theirs = before.canonical["spec"], after.canonical["spec"]
    found = []
    for section in SECTIONS:
        one, other = dict(_flat("", ours.get(section))), dict(_flat("", theirs.get(section)))
        found += [
            ValueChange(section, key, one.get(key), other.get(key))
            for key in dict.fromkeys([*one, *other])
            if one.get(key) != other.get(key)
        ]
    return found


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the values of nested mappings by their dotted keys."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(f"{key}.{name}" if key else name, part)
    elif value is not None:
        yield key, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(part)}' for key, part in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def names(before: Artifact, after: Artifact) -> tuple[str, str] | None:
    """Return the names of two models, if both specs say what they are called and do not agree."""
    ours, theirs = before.canonical["spec"], after.canonical["spec"]
    written = before.program.document.has("name") and after.program.document.has("name")
    return (ours["name"], theirs["name"]) if written and ours["name"] != theirs["name"] else None
