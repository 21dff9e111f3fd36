"""`python -m compiler`, and the console script `blockprint`."""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line, and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    try:
        from compiler.cli.app import app
    except KeyboardInterrupt:  # the imports take a moment
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
