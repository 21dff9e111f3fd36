"""The language server: what editors ask, handed on to the module that knows the answer. Nothing else is in here."""

from __future__ import annotations

from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol.language_server import LanguageServerProtocol, lsp_method

from compiler.catalogue.plugins import Registry
from compiler.editor.actions import actions
from compiler.editor.catalogue import method_page, page
from compiler.editor.completion import completion
from compiler.editor.definitions import definition, references
from compiler.editor.formatting import formatting
from compiler.editor.hints import inlay_hints
from compiler.editor.hover import hover
from compiler.editor.outline import outline
from compiler.editor.renames import CannotRenameError, elsewhere, rename, renameable
from compiler.editor.work import LOOKED, NAMED, Work

TRIGGERS = ["(", ",", ".", "[", "{", " "]
"""What is typed in front of what may be completed."""
REFUSED = types.LSPErrorCodes.RequestFailed.value


class Protocol(LanguageServerProtocol):
    """Counts in UTF-16, as all editors can, whatever an editor would like better."""

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        general = params.capabilities.general
        if general is not None:
            general.position_encodings = [types.PositionEncodingKind.Utf16]
        return (yield from super().lsp_initialize(params))


class Server(LanguageServer):
    """A language server with the specs that are open in it."""

    def __init__(self, plugins: Registry, import_paths: tuple[Path, ...]) -> None:
        super().__init__("blockprint", version("blockprint"), protocol_cls=Protocol)
        self.work = Work(self._publish, self._tell, plugins, import_paths)

    @property
    def has_snippets(self) -> bool:
        """Whether the editor takes texts with places for the cursor."""
        text = self.client_capabilities.text_document
        item = text.completion.completion_item if text and text.completion else None
        return bool(item and item.snippet_support)

    def _publish(self, uri: str, found: list[types.Diagnostic]) -> None:
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, found))

    def _tell(self, message: str) -> None:
        self.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))

    def changed(self, uri: str) -> None:
        """Take the text that a document has now."""
        self.work.change(uri, self.workspace.get_text_document(uri).source)


def server(plugins: Registry, import_paths: tuple[Path, ...] = ()) -> Server:
    """Return a language server."""
    made = Server(plugins, import_paths)
    _documents(made)
    _answers(made)
    _names(made)
    _whole(made)
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
        with ls.work.baton.answering():
            return inlay_hints(document, params.range) if document is not None else []

    @made.feature(types.TEXT_DOCUMENT_HOVER)
    async def hovered(ls: Server, params: types.HoverParams) -> types.Hover | None:
        document = await ls.work.known(params.text_document.uri, NAMED)
        with ls.work.baton.answering():
            return hover(document, params.position) if document is not None else None

    @made.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(TRIGGERS, resolve_provider=True))
    def completions(ls: Server, params: types.CompletionParams) -> list[types.CompletionItem]:
        document = ls.work.documents.get(params.text_document.uri)
        if document is None or not document.is_spec:
            return []
        with ls.work.baton.answering():
            return completion(document, params.position, ls.work.plugins, ls.has_snippets)

    @made.feature(types.COMPLETION_ITEM_RESOLVE)
    def resolved(ls: Server, item: types.CompletionItem) -> types.CompletionItem:
        name = str(item.data or "")
        with ls.work.baton.answering():
            about = method_page(name[1:]) if name.startswith(".") else page(name, ls.work.plugins)
        if about is not None:
            item.documentation = types.MarkupContent(types.MarkupKind.Markdown, about)
        return item


def _names(made: Server) -> None:
    @made.feature(types.TEXT_DOCUMENT_DEFINITION)
    def defined(ls: Server, params: types.DefinitionParams) -> list[types.Location]:
        document = ls.work.documents.get(params.text_document.uri)
        with ls.work.baton.answering():
            return definition(ls.work, document, params.position) if document is not None else []

    @made.feature(types.TEXT_DOCUMENT_REFERENCES)
    def referred(ls: Server, params: types.ReferenceParams) -> list[types.Location]:
        document = ls.work.documents.get(params.text_document.uri)
        declared = params.context.include_declaration
        with ls.work.baton.answering():
            return references(ls.work, document, params.position, declared) if document is not None else []

    @made.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepared(ls: Server, params: types.PrepareRenameParams) -> types.Range | None:
        document = ls.work.documents.get(params.text_document.uri)
        with ls.work.baton.answering():
            found = renameable(document, params.position) if document is not None else None
        return found[1] if found is not None else None

    @made.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    async def renamed(ls: Server, params: types.RenameParams) -> types.WorkspaceEdit | None:
        document = ls.work.documents.get(params.text_document.uri)
        with ls.work.baton.answering():
            found = renameable(document, params.position) if document is not None else None
        if document is None or found is None:
            return None
        origin, symbol, new = ls.work.origin(document), found[0], params.new_name
        with ls.work.baton.answering():
            others = elsewhere(ls.work, document, symbol, new)
        try:
            return await ls.work.run(
                lambda: rename(document, origin, symbol, new, others, ls.work.baton.hand_over)
            )
        except CannotRenameError as error:
            raise JsonRpcException(str(error), REFUSED) from None


def _whole(made: Server) -> None:
    @made.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(ls: Server, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        document = ls.work.documents.get(params.text_document.uri)
        with ls.work.baton.answering():
            return outline(document) if document is not None and document.is_spec else []

    @made.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formatted(ls: Server, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        document = ls.work.documents.get(params.text_document.uri)
        with ls.work.baton.answering():
            return formatting(document) if document is not None and document.is_spec else []
