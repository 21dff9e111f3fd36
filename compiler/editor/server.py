"""The language server: what editors ask, handed on to the module that knows the answer. Nothing else is in here."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from compiler.catalogue.plugins import Registry
from compiler.editor.actions import actions
from compiler.editor.hints import inlay_hints
from compiler.editor.hover import hover
from compiler.editor.work import LOOKED, NAMED, Work


class Server(LanguageServer):
    """A language server with the specs that are open in it."""

    def __init__(self, plugins: Registry, import_paths: tuple[Path, ...]) -> None:
        super().__init__("blockprint", version("blockprint"))
        self.work = Work(self._publish, plugins, import_paths)

    def _publish(self, uri: str, found: list[types.Diagnostic]) -> None:
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, found))

    def changed(self, uri: str) -> None:
        """Take the text that a document has now."""
        self.work.change(uri, self.workspace.get_text_document(uri).source)


def server(plugins: Registry, import_paths: tuple[Path, ...] = ()) -> Server:
    """Return a language server."""
    made = Server(plugins, import_paths)
    _documents(made)
    _answers(made)
    return made


def _documents(made: Server) -> None:
    @made.feature(types.INITIALIZED)
    def initialized(ls: Server, params: types.InitializedParams) -> None:
        ls.work.warm_up()

    @made.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(ls: Server, params: types.DidOpenTextDocumentParams) -> None:
        ls.changed(params.text_document.uri)

    @made.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(ls: Server, params: types.DidChangeTextDocumentParams) -> None:
        ls.changed(params.text_document.uri)

    @made.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
        ls.work.close(params.text_document.uri)


def _answers(made: Server) -> None:
    @made.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions([types.CodeActionKind.QuickFix]))
    async def code_actions(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
        document = await ls.work.known(params.text_document.uri, LOOKED)
        return await actions(ls.work, document, params.range) if document is not None else []

    @made.feature(types.TEXT_DOCUMENT_INLAY_HINT)
    async def hints(ls: Server, params: types.InlayHintParams) -> list[types.InlayHint]:
        document = await ls.work.known(params.text_document.uri, NAMED)
        return inlay_hints(document, params.range) if document is not None else []

    @made.feature(types.TEXT_DOCUMENT_HOVER)
    async def hovered(ls: Server, params: types.HoverParams) -> types.Hover | None:
        document = await ls.work.known(params.text_document.uri, NAMED)
        return hover(document, params.position) if document is not None else None
