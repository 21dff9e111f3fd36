"""One language server for the tests of a module, and what tests ask it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient

ROOT = Path(__file__).parents[3]
T5 = ROOT / "specs/zoo/t5.yaml"


@dataclass
class Editor:
    """An editor with specs open in it. A place is written as the text that it is behind."""

    client: LanguageClient
    texts: dict[str, str]
    versions: dict[str, int]

    def open(self, path: Path, text: str) -> str:
        """Open a file with a text, which need not be that on disk."""
        uri = path.absolute().as_uri()
        self.texts[uri], self.versions[uri] = text, 1
        item = types.TextDocumentItem(uri, "yaml", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def type(self, uri: str, old: str, new: str) -> None:
        """Replace a part of the text, and tell the server the place of it alone."""
        text = self.texts[uri]
        at = text.index(old)
        self.versions[uri] += 1
        where = types.Range(position(text, at), position(text, at + len(old)))
        self.texts[uri] = text[:at] + new + text[at + len(old) :]
        change = types.TextDocumentContentChangePartial(where, new)
        document = types.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    def at(self, uri: str, behind: str, back: int = 0) -> dict[str, Any]:
        """Return the parameters of a request at a place: behind a text, or some characters before."""
        text = self.texts[uri]
        place = position(text, text.index(behind) + len(behind) - back)
        return {"text_document": types.TextDocumentIdentifier(uri), "position": place}

    async def diagnostics(self, uri: str, of: str | None = None) -> list[types.Diagnostic]:
        """Return the diagnostics of a document, or those that it has in another file."""
        start = types.Position(0, 0)
        await self.client.text_document_hover_async(  # which is answered when the text was looked at
            types.HoverParams(types.TextDocumentIdentifier(uri), start)
        )
        return list(self.client.diagnostics.get(of or uri, ()))

    def close(self, uri: str) -> None:
        self.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri))
        )


def position(text: str, offset: int) -> types.Position:
    """Return the place of a character, in units of UTF-16."""
    before = text[:offset]
    return types.Position(before.count("\n"), len(before.rpartition("\n")[2].encode("utf-16-le")) // 2)


def applied(text: str, edits: list[types.TextEdit]) -> str:
    """Return a text with the edits of an answer."""
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in range(len(lines) + 1)]
    for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        start, end = (starts[p.line] + p.character for p in (edit.range.start, edit.range.end))
        text = text[:start] + edit.new_text + text[end:]
    return text


@pytest_lsp.fixture(
    config=ClientServerConfig(server_command=[sys.executable, "-m", "compiler", "lsp"]),
    scope="module",
    loop_scope="module",
)
async def client(lsp_client: LanguageClient) -> AsyncIterator[None]:
    """A client that is connected to a server."""
    kinds = [types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16]
    item = types.ClientCompletionItemOptions(documentation_format=[types.MarkupKind.Markdown])
    text = types.TextDocumentClientCapabilities(
        completion=types.CompletionClientCapabilities(completion_item=item),
        hover=types.HoverClientCapabilities(content_format=[types.MarkupKind.Markdown]),
    )
    can = types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=kinds), text_document=text
    )
    await lsp_client.initialize_session(types.InitializeParams(capabilities=can, root_uri=ROOT.as_uri()))
    yield
    await lsp_client.shutdown_session()


def editor(client: LanguageClient) -> Editor:
    """Return an editor with nothing open."""
    return Editor(client, {}, {})
