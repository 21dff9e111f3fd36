"""`lsp`: the language server, for editors."""

from __future__ import annotations

import os

from compiler.cli.options import ImportPaths, Plugins
from compiler.extras import EDITOR
from compiler.pipeline import registry


def lsp(plugin: Plugins = None, import_path: ImportPaths = None) -> None:
    """Serve editors over standard input and output, by the Language Server Protocol.

    Diagnostics, completion, hover, inlay hints, definitions, rename, outline and formatting. It ends when the
    editor ends it.
    """
    EDITOR.require()
    plugins = registry(plugin or ())
    from compiler.editor.server import server

    with os.fdopen(os.dup(0), "rb") as stdin, os.fdopen(os.dup(1), "wb") as stdout:
        os.dup2(2, 1)  # what else is printed is no message to the editor
        server(plugins, tuple(import_path or ())).start_io(stdin, stdout)
