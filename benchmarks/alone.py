"""One benchmark in this process, its rows as lines of JSON: `python -m benchmarks.alone NAME [--quick]`.

It is what `python -m benchmarks` starts. What a benchmark itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module

from benchmarks.measured import Row


def main(arguments: Sequence[str]) -> None:
    """Print the rows of a benchmark as they are measured."""
    name, *options = arguments
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as lines:
        os.dup2(2, 1)
        for row in import_module(f"benchmarks.{name}").rows("--quick" in options):
            if not isinstance(row, Row):
                raise TypeError(f"`rows` yields a {type(row).__name__} that is none of benchmarks.measured")
            lines.write(json.dumps(asdict(row), default=float) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
