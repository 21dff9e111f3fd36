"""Hostile specs in an editor: whatever is asked at whatever place has an answer, and nothing is raised."""

from __future__ import annotations

from random import Random

from compiler.editor.analysis import Origin, analysed, name_sizes
from compiler.editor.completion import completion
from compiler.editor.definitions import symbol_at, text_of
from compiler.editor.diagnostics import by_file
from compiler.editor.document import Document
from compiler.editor.formatting import formatting
from compiler.editor.hints import hints
from compiler.editor.hover import hover
from compiler.editor.outline import outline
from tests.hostile.meanings import hostile
from tests.hostile.originals import originals, plugins

MUTANTS = 60


def test_every_question_has_an_answer() -> None:
    everyone, known, hinted, offered = originals(), plugins(), 0, 0
    for seed in range(MUTANTS):
        original, number = everyone[seed * 7 % len(everyone)], seed
        done, files = hostile(original, number)
        draw = Random(seed)
        try:
            text = files.data.decode("utf-8", "replace")
            document = Document(original.main.with_name("mutant.yaml").as_uri())
            document.change(text)
            found = analysed(Origin(document.text, document.path, {}, known))
            name_sizes(found)
            document.take(found)
            by_file(found.diagnostics, document.name, document.uri)
            hinted += len(hints(found))
            outline(document)
            formatting(document)
            for _ in range(3):
                offset = draw.randrange(len(document.text) + 1)
                place = document.places.position(offset)
                offered += len(completion(document, place, known, has_snippets=True))
                hover(document, place)
                if (read := text_of(document)) is not None:
                    symbol_at(read, offset)
        except Exception as error:
            raise AssertionError(f"{done} of {original}, number {number}:\n{files.data!r}") from error
    assert hinted > MUTANTS
    assert offered > MUTANTS
