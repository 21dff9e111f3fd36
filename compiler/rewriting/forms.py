"""A spec in another form: its calls as mappings or the other way round, what is inferred written out."""

from __future__ import annotations

from compiler.artifact import Artifact
from compiler.rewriting.edits import Editable
from compiler.rewriting.expand import expanded
from compiler.rewriting.long_form import longer, shorter
from compiler.rewriting.proof import is_same_model


def converted(spec: Editable, is_long: bool | None, expand: bool) -> str:
    """Return the text of a spec in another form, in the notation in which it is written.

    `is_long` says whether each layer is a mapping or a call; as it is written if None.

    Raises:
        SpecError: the spec is refused.
    """
    artifact = spec.compiled()
    found, now = spec, artifact
    if expand:
        found = found.edited(expanded(found, now))
        now = _proven(found, artifact)
    if is_long is not None:
        found = found.edited((longer if is_long else shorter)(found, now))
        now = _proven(found, artifact)
    return found.text


def _proven(spec: Editable, original: Artifact) -> Artifact:
    """Compile a spec that was rewritten, and make sure that its model is the original one."""
    artifact = spec.compiled()
    assert is_same_model(artifact, original), "the spec in another form is another model"
    return artifact
