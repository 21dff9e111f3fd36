"""Open specs, looked at in the background: one at a time, and nothing that has become stale meanwhile."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lsprotocol.types import Diagnostic

from compiler.catalogue.plugins import Registry
from compiler.editor import diagnostics, offers
from compiler.editor.analysis import Analysis, Origin, StaleError, analysed, compiled, name_sizes
from compiler.editor.baton import Baton
from compiler.editor.document import Document
from compiler.editor.fixes import mended
from spec_schema import diagnostics as own

IDLE = 0.4
"""Seconds without a change, after which the whole compiler looks."""
LOOKED, NAMED = 1, 2
"""What is known of a text: its shapes; the names of their sizes."""
FIRST = (
    "spec: 1\ninputs: {x: 'float32[n, 2]'}\nmodel:\n  layers: {a: Linear(2)}\n  forward: return relu(a(x))\n"
)
Publish = Callable[[str, list[Diagnostic]], None]
T = TypeVar("T")


@dataclass(eq=False)
class Work:
    """The open documents, and the thread that looks at them."""

    publish: Publish
    tell: Callable[[str], None]
    """Shows a message to the person."""
    plugins: Registry = field(default_factory=Registry)
    import_paths: tuple[Path, ...] = ()
    documents: dict[str, Document] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    shown: dict[str, dict[str, list[Diagnostic]]] = field(default_factory=dict)
    """What is published of each file, by the spec that it was found in."""

    def __post_init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, "compiler")
        self.moved = asyncio.Condition()
        self.baton = Baton()

    def warm_up(self) -> None:
        """Compile something small: the first spec then takes no longer than the others."""

        def first() -> None:
            with self.baton.compiling():
                analysed(Origin(FIRST, Path("first.yaml")), self.baton.hand_over)
                _ = [*offers.layers(self.plugins), *offers.operations(self.plugins)]

        self.thread.submit(first)

    def change(self, uri: str, text: str) -> None:
        """Take a new text of a document, and look at it and at the specs that import it."""
        document = self.documents.setdefault(uri, Document(uri))
        document.change(text)
        self._begin(document)
        for other in self.documents.values():
            if other is not document and document.path in other.imports:
                other.number += 1
                self._begin(other)

    def close(self, uri: str) -> None:
        """Forget a document."""
        document = self.documents.pop(uri, None)
        if document is not None:
            document.number += 1
            for file in {uri, *document.published}:
                self._put(file, uri, [])

    async def known(self, uri: str, stage: int) -> Document | None:
        """Return a document when so much is known of its text."""
        if uri in self.documents:
            async with self.moved:
                await self.moved.wait_for(lambda: self.reached.get(uri, NAMED) >= stage)
        return self.documents.get(uri)

    async def run(self, function: Callable[[], T]) -> T | None:
        """Run a function where specs are compiled, None if what it looks at has become stale."""

        def unless_stale() -> T | None:
            with self.baton.compiling():
                try:
                    return function()
                except StaleError:
                    return None

        return await asyncio.get_running_loop().run_in_executor(self.thread, unless_stale)

    def origin(self, document: Document) -> Origin:
        """Return the text of a document with what it is compiled with."""
        texts = {os.path.normpath(each.path): each.text for each in self.documents.values()}
        return Origin(document.text, document.path, texts, self.plugins, self.import_paths)

    def _begin(self, document: Document) -> None:
        self.reached[document.uri] = 0
        task = asyncio.get_running_loop().create_task(self._look(document, document.number))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _look(self, document: Document, number: int) -> None:
        """Look at a text, step by step, as long as it is the last one."""
        try:
            if document.is_spec:
                await self._steps(document, number)
        except Exception as error:  # a bug, which must not take the server with it
            traceback.print_exception(error)
            self.tell(f"a bug of Blockprint's own: {type(error).__name__}: {error}")
        if document.number == number or document.uri not in self.documents:
            await self._reach(document, NAMED)

    async def _steps(self, document: Document, number: int) -> None:
        origin = self.origin(document)

        def is_last() -> bool:
            return document.number == number

        def is_stale() -> bool:
            return self.baton.hand_over() or not is_last()

        found = await self.run(lambda: analysed(origin, is_stale))
        if found is None or not is_last():
            return
        document.take(found)
        self._tell(document, (*found.diagnostics, *document.late_now()))
        await self._reach(document, LOOKED)
        shown = await self._runnable(document, found, is_stale)
        await self.run(lambda: name_sizes(shown, is_stale))
        if not is_last():
            return
        await self._reach(document, NAMED)
        await asyncio.sleep(IDLE)
        whole = await self.run(lambda: compiled(origin, is_stale)) if is_last() else None
        if whole is not None and is_last():
            document.take_whole(whole)
            self._tell(document, whole)

    async def _runnable(self, document: Document, found: Analysis, is_stale: Callable[[], bool]) -> Analysis:
        """Return what is known of a text; of one that was never right, where its mistakes are mended."""
        text = mended(found.text, found.diagnostics, document.name)
        if found.record.layers or document.good is not None or text is None:
            return found
        guessed = await self.run(lambda: analysed(found.origin.with_text(text), is_stale))
        if guessed is None or not guessed.record.layers:
            return found
        document.good = guessed
        return guessed

    async def _reach(self, document: Document, stage: int) -> None:
        async with self.moved:
            self.reached[document.uri] = stage
            self.moved.notify_all()

    def _tell(self, document: Document, found: tuple[own.Diagnostic, ...]) -> None:
        """Publish diagnostics, those in imported files with their files."""
        files: Mapping[str, list[Diagnostic]] = diagnostics.by_file(found, document.name, document.uri)
        for uri in sorted({*files, *document.published}):
            self._put(uri, document.uri, files.get(uri, []))
        document.published = {uri for uri, each in files.items() if each}

    def _put(self, uri: str, source: str, found: list[Diagnostic]) -> None:
        """Publish the diagnostics of a file: those that its own spec has, and those of specs that import it."""
        shown = self.shown.setdefault(uri, {})
        shown[source] = found
        self.publish(uri, list({repr(each): each for part in shown.values() for each in part}.values()))
