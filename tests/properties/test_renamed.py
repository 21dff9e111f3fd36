"""Whatever is renamed in a spec leaves the same model, and back again the same text."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from compiler.pipeline import registry
from compiler.rewriting.edits import editable
from compiler.rewriting.proof import rows
from compiler.rewriting.rename import RenameError, renamed
from compiler.rewriting.uses import block_name, uses
from runtime.testing.strategies.specs import Document, specs
from spec_schema.canonical import to_yaml
from spec_schema.keys import split_key
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.reader import Entries, read_text

PATH = Path("a.yaml")


def _names(document: Document) -> list[tuple[str, str]]:
    """Return what can be renamed, each with another name."""
    root = read_text(to_yaml(document), "a.yaml", DEFAULT_LIMITS)
    assert isinstance(root, Entries)
    found = [(f"vars.{name}", "another") for name in document.get("vars", {})]
    for use in uses(root):
        text = use.scalar.text
        if use.role == "signature":
            found.append((f"blocks.{block_name(text)}", "Another"))
            parameters = re.findall(r"[(,]\s*(\w+)", text)
            found += [(f"{block_name(text)}.{name}", "another") for name in parameters]
        elif use.role == "layer" and use.block is not None:
            found.append((f"{use.block}.{split_key(text)[0]}", "another"))
    return found


@given(st.data())
def test_what_is_renamed_is_the_same_model(data: st.DataObject) -> None:
    document = data.draw(specs())
    names = _names(document)
    spec = editable(to_yaml(document), PATH, str(PATH), registry(()))
    if not names:
        return
    old, new = data.draw(st.sampled_from(names))
    try:
        after = renamed(spec, old, new)
    except RenameError:
        return
    holder, _, last = old.rpartition(".")
    assert after.text != spec.text
    assert re.sub(r"\b[Aa]nother\b", last, after.text) == spec.text
    if holder in ("vars", "blocks"):
        assert [row[0] for row in rows(after.compiled())] == [row[0] for row in rows(spec.compiled())]
    try:
        back = renamed(after, f"{holder}.{new}", last)
    except RenameError:
        return  # an operation may have the name, or a layer elsewhere
    assert back.text == spec.text
