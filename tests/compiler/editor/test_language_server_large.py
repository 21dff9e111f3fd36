"""The language server on a spec of 10,000 lines: every capability, and an answer while it compiles."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types
from pytest_lsp import LanguageClient

from tests.compiler.editor.conftest import applied, editor, position

pytestmark = pytest.mark.asyncio(loop_scope="module")
BLOCKS = 420
BLOCK = """\
  Block{n}(size):
    layers:
      up{n}: Linear(2 * size)
      act: GELU
      down: Linear(size)
      norm: LayerNorm
    forward: |
      y = down(act(up{n}(norm(x))))
      # A block of a program that somebody took the time to explain, line by line, and that says little: what
      # is added here is taken away there, so that in the end there is what was there before.
      seen = y * 2
      seen = seen - y
      for step in range(2):
        more = seen + step
        less = more - step
        seen = less
      if size > 4:
        seen = seen * 1
      else:
        seen = seen / 1
      # The sum, as in any residual.
      out = x + seen
      return out

"""
MODEL = "".join(f"  - Block{n}(width)\n" for n in range(0, BLOCKS, 40))
TEXT = (
    'spec: 1\nvars: {width: 8}\ninputs: {x: "float32[batch, 8]"}\n\nblocks:\n'
    + "".join(BLOCK.format(n=n) for n in range(BLOCKS))
    + f"model:\n{MODEL}"
)


async def test_every_capability(client: LanguageClient, tmp_path: Path) -> None:
    assert TEXT.count("\n") >= 10_000
    here = editor(client)
    uri = here.open(tmp_path / "large.yaml", TEXT)
    document = types.TextDocumentIdentifier(uri)

    # An answer does not wait until it is compiled.
    behind = "      up200: Lin"
    offered = await client.text_document_completion_async(types.CompletionParams(**here.at(uri, behind)))
    assert isinstance(offered, list | tuple)
    assert {"Linear", "Block7", "down"} <= {each.label for each in offered}
    assert not client.diagnostics.get(uri)

    assert await here.diagnostics(uri) == []
    hovered = await client.text_document_hover_async(types.HoverParams(**here.at(uri, behind)))
    assert hovered is not None
    assert "`[batch, 8]` → `[batch, 16]`" in str(hovered.contents)
    whole = types.Range(types.Position(0, 0), position(TEXT, len(TEXT)))
    hints = await client.text_document_inlay_hint_async(types.InlayHintParams(document, whole))
    assert hints is not None
    assert len(hints) >= 10 * len(MODEL.splitlines())
    declared = await client.text_document_definition_async(
        types.DefinitionParams(**here.at(uri, "  - Block200"))
    )
    assert isinstance(declared, list | tuple)
    assert TEXT.split("\n")[declared[0].range.start.line] == "  Block200(size):"  # type: ignore[union-attr]
    context = types.ReferenceContext(include_declaration=True)
    used = await client.text_document_references_async(
        types.ReferenceParams(context=context, **here.at(uri, "      up200"))
    )
    assert used is not None
    assert len(used) == 2
    outline = await client.text_document_document_symbol_async(types.DocumentSymbolParams(document))
    assert outline is not None
    assert [each.name for each in outline] == ["spec", "vars", "inputs", "blocks", "model"]
    renamed = await client.text_document_rename_async(
        types.RenameParams(new_name="wide", **here.at(uri, "      up200"))
    )
    assert renamed is not None
    assert renamed.changes is not None
    assert applied(TEXT, [*renamed.changes[uri]]) == TEXT.replace("up200", "wide")

    here.type(uri, "up200: Linear(", "up200: Linaer(")
    (found,) = await here.diagnostics(uri)
    fixes = await client.text_document_code_action_async(
        types.CodeActionParams(document, found.range, types.CodeActionContext([found]))
    )
    assert [each.title for each in fixes or ()] == ["write `Linear`"]
    here.type(uri, "up200: Linaer(2 * size)", "up200:   Linear(2 * size)")
    options = types.FormattingOptions(tab_size=2, insert_spaces=True)
    edits = await client.text_document_formatting_async(types.DocumentFormattingParams(document, options))
    assert applied(here.texts[uri], [*(edits or ())]) == TEXT
    here.close(uri)
