"""Every key that the language takes has words in the editor, and no other has."""

from __future__ import annotations

import pytest

from compiler.editor.keys import KEYS, keys_beside
from spec_schema.document import Body, Document, TensorEntry
from spec_schema.layer_nodes import Choice, LongCall, Parallel, Repeat, Residual, SplicedRepeat
from spec_schema.mesh_section import Mesh
from spec_schema.records import Record
from spec_schema.rule_sections import CheckpointEntry, PlacementEntry
from spec_schema.train_section import Data, EarlyStopping, Log, Metric, Monitor, Train

FORMS: dict[str, tuple[type[Record], ...]] = {
    "document": (Document,),
    "body": (Body,),
    "node": (Repeat, SplicedRepeat, Parallel, Residual, Choice, LongCall),
    "tensor": (TensorEntry,),
    "ruled": (CheckpointEntry, PlacementEntry),
    "mesh": (Mesh,),
    "train": (Train,),
    "data": (Data,),
    "metric": (Metric, Monitor),
    "stopping": (EarlyStopping,),
    "log": (Log,),
}


@pytest.mark.parametrize("kind", FORMS)
def test_all_keys_have_words(kind: str) -> None:
    assert KEYS[kind].keys() == {key for form in FORMS[kind] for key in form.known_keys()}


def test_the_keys_beside_another_are_those_of_its_form() -> None:
    assert {*keys_beside("node", ("repeat",))} == {*Repeat.known_keys(), *SplicedRepeat.known_keys()}
    assert {*keys_beside("node", ("residual",))} == {"combine"}
    assert keys_beside("node", ()) == KEYS["node"]
