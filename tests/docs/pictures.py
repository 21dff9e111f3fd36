"""The terminal pictures of docs/, which `PYTHONPATH=. python tests/docs/pictures.py` draws anew.

Each command is run on the example files of its page, on a terminal of its own, as a reader would see it.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.docs.test_docs import ROOT, files

FOLDER = ROOT / "docs" / "pictures"
COLUMNS = 102
COMMANDS = {
    "diff": "diff before.yaml after.yaml",
    "export": "export ways.yaml --pt2 ways.pt2",
    "fmt": "fmt --diff untidy.yaml",
}
"""What each picture shows: the verb and its arguments, of the page with the name of the picture."""
PROGRESS = re.compile(r"^[^\n]*[\u2800-\u28ff][^\n]*\n", re.MULTILINE)
"""Lines that a terminal shows for a moment."""
FONTS = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
"""Those that a picture would fetch."""


def pictures() -> dict[str, str]:
    """Return the text of each picture, by the name of its file."""
    return {f"{name}.svg": picture(name, command) for name, command in COMMANDS.items()}


def picture(name: str, command: str) -> str:
    """Return an SVG of what a terminal shows after a command."""
    with TemporaryDirectory() as folder:
        for path, text in files(f"docs/{name}.md").items():
            (Path(folder) / path).write_text(text)
        shown = "".join(on_terminal(command.split(), Path(folder)))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(PROGRESS.sub("", shown).rstrip()))
    form = FONTS.sub("", CONSOLE_SVG_FORMAT)
    title = f"$ python -m compiler {command}"
    drawn = console.export_svg(title=title, code_format=form, unique_id=name)
    return "".join(f"{line.rstrip()}\n" for line in drawn.splitlines())


def on_terminal(arguments: list[str], folder: Path) -> Iterator[str]:
    """Run a verb on a terminal, and yield what it writes there."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "BLOCKPRINT_CACHE": "off"}
    command = [sys.executable, "-m", "compiler", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal:
            yield from _read(terminal)
        assert process.wait() in (0, 1), f"{arguments} failed"


def _read(terminal: io.FileIO) -> Iterator[str]:
    data = b""
    while True:
        try:
            part = terminal.read(4096)
        except OSError:  # what a terminal says when its last writer has gone
            break
        if not part:
            break
        data += part
    yield data.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pictures().items():
        (FOLDER / file).write_text(text)
