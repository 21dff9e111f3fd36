"""`python -m compiler`, and the console script `blockprint`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from io import TextIOWrapper

SHORT = frozenset("check emit summary explain params load-plan layers".split())
"""Verbs that end as soon as they have printed."""
SELDOM = (100_000, 50, 50)
"""When the garbage collector looks in a short verb: most of what is made while modules are imported stays."""


def main() -> None:
    """Run the command line, and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    if not SHORT & set(sys.argv[1:2]):
        sys.exit(_status())
    gc.set_threshold(*SELDOM)
    try:
        from compiler.cli.answers.call import answered

        status = answered(sys.argv[1:], _status)
    except KeyboardInterrupt:
        status = 130
    _end(status)


def _status() -> int:
    """Run the verb that the command line names, and return its exit status."""
    try:
        from compiler.cli.app import app

        app()
    except KeyboardInterrupt:  # the imports take a moment
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _end(status: int) -> None:
    """End the process. To free all that torch has made, one by one, takes as long as to compile a spec."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it
            continue
    os._exit(status)


if __name__ == "__main__":
    main()
