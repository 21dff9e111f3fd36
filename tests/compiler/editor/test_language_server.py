"""The language server, end to end: on a spec of the zoo, and on one that is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types
from pytest_lsp import LanguageClient

from tests.compiler.editor.conftest import T5, applied, client, editor

__all__ = ["client"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_diagnostics_follow_what_is_typed(client: LanguageClient) -> None:
    here = editor(client)
    uri = here.open(T5, T5.read_text())
    assert await here.diagnostics(uri) == []
    here.type(uri, "q: Linear(heads", "q: Linaer(heads")
    (found,) = await here.diagnostics(uri)
    assert found.code == "unknown-layer"
    assert found.message == "there is no layer or block `Linaer`\nhelp: did you mean `Linear`?"
    assert (found.range.start, found.range.end) == (types.Position(43, 9), types.Position(43, 15))
    fixes = await client.text_document_code_action_async(
        types.CodeActionParams(
            types.TextDocumentIdentifier(uri), found.range, types.CodeActionContext([found])
        )
    )
    assert fixes is not None
    (fix,) = fixes
    assert isinstance(fix, types.CodeAction)
    assert fix.edit is not None
    assert fix.edit.changes is not None
    assert applied(here.texts[uri], [*fix.edit.changes[uri]]) == T5.read_text()
    here.type(uri, "Linaer", "Linear")
    assert await here.diagnostics(uri) == []
    here.close(uri)


async def test_what_is_wrong_in_an_imported_file_is_shown_there(
    client: LanguageClient, tmp_path: Path
) -> None:
    here = editor(client)
    blocks = tmp_path / "blocks.yaml"
    blocks.write_text("spec: 1\nblocks:\n  Twice: [Linear(4), Linaer(4)]\n")
    text = "spec: 1\nimport: {blocks.yaml: [Twice]}\ninputs: {x: 'float32[n, 4]'}\nmodel: Twice\n"
    main = here.open(tmp_path / "main.yaml", text)
    (found,) = await here.diagnostics(blocks.as_uri())
    assert found.range.start == types.Position(2, 21)
    uri = here.open(blocks, blocks.read_text())
    here.type(uri, "Linaer", "Linear")
    while await here.diagnostics(uri):
        continue
    here.close(main)
    here.close(uri)


async def test_other_yaml_is_left_alone(client: LanguageClient, tmp_path: Path) -> None:
    here = editor(client)
    other = here.open(tmp_path / "compose.yaml", "services: {web: {image: nginx}}\nmodel: [Linaer]\n")
    uri = here.open(tmp_path / "spec.yaml", "spec: 1\nmodle: []\n")
    found = await here.diagnostics(uri)
    assert [each.code for each in found] == ["unknown-key"]
    assert not client.diagnostics.get(other)
    here.close(other)
    here.close(uri)
