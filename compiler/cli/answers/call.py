"""A call of the program, with its answer: found where it was given before, else recorded.

An answer is what was printed, and the exit status. It is kept by a digest of the call: arguments, folder, terminal,
environment, and versions; and with digests of all files that it follows from, which are read again before it is
believed. A call that reads anything else, or does anything but print, is not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any

from compiler.cli.answers.inputs import Input
from compiler.cli.answers.record import Piece, Record, recording
from compiler.cli.answers.store import LARGEST, open_store
from compiler.cli.answers.versions import versions

VERBS = ("check", "emit", "summary")
STATUSES = (0, 1)
"""A spec that is fine, and one that is refused."""
BROKEN_PIPE = 141
NAMES = frozenset("TERM COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR LANG LANGUAGE TERMINAL_WIDTH".split())
PREFIXES = ("BLOCKPRINT_", "TORCH", "PYTORCH", "PYTHON", "CUDA_", "LC_", "TTY_", "CLICOLOR")
"""What of the environment may change an answer."""


@dataclass(frozen=True)
class Answer:
    """What a call printed, piece by piece, and its exit status."""

    status: int
    pieces: Sequence[Piece]
    inputs: Sequence[Input]

    def print(self) -> int:
        """Print it, and return the exit status."""
        streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
        try:
            for number, data in self.pieces:
                streams[number].write(data)
                streams[number].flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails when it flushes
            return BROKEN_PIPE
        return self.status


def answered(arguments: Sequence[str], work: Callable[[], int]) -> int:
    """Print the answer to a call, and return its status; `work` does what it takes, and returns it."""
    store = open_store() if _may_be_kept(arguments) else None
    if store is None:
        return work()
    name = _name(arguments)
    known = _read(store.read(name))
    if known is not None and all(each.is_same() for each in known.inputs):
        return known.print()
    record = Record(LARGEST // 2)
    with recording(record):
        status = work()
    if record.is_whole and status in STATUSES:
        store.write(name, _text(Answer(status, record.pieces, record.inputs)))
    return status


def _may_be_kept(arguments: Sequence[str]) -> bool:
    plain = all(isinstance(stream, TextIOWrapper) for stream in (sys.stdout, sys.stderr))
    return plain and any(verb in arguments[:1] for verb in VERBS)


def _name(arguments: Sequence[str]) -> str:
    """Return the name of the answer to a call."""
    environment = {
        name: value for name, value in os.environ.items() if name in NAMES or name.startswith(PREFIXES)
    }
    streams = [[stream.encoding, stream.errors] for stream in (sys.stdout, sys.stderr)]
    call = [list(arguments), sys.argv[0], os.getcwd(), sorted(environment.items()), streams]
    text = json.dumps([*call, [_terminal(number) for number in range(3)], versions()])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _terminal(number: int) -> list[int] | None:
    """Return the size of a terminal; None where a stream is none."""
    try:
        return list(os.get_terminal_size(number)) if os.isatty(number) else None
    except OSError:
        return None


def _text(answer: Answer) -> bytes:
    pieces = [[number, data.decode("latin-1")] for number, data in answer.pieces]
    return json.dumps({"status": answer.status, "pieces": pieces, "inputs": answer.inputs}).encode()


def _read(text: bytes | None) -> Answer | None:
    """Read an answer that bears our seal."""
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text)
    pieces = [(number, data.encode("latin-1")) for number, data in found["pieces"]]
    return Answer(found["status"], pieces, [Input(*each) for each in found["inputs"]])
