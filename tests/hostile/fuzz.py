"""`make fuzz`: atheris looks for inputs that reach new lines of the compiler, and for one that breaks it.

`python -m tests.hostile.fuzz FOLDER... [-max_total_time=60 ...]`: libFuzzer's own arguments. New inputs go to the first
folder; `-set_cover_merge=1` keeps of them what reaches something of its own.
"""

from __future__ import annotations

import sys

import atheris

COMMAND = f"{sys.executable} -m tests.hostile.fuzz"
"""How libFuzzer starts this once more, by a shell, when it merges."""
OURS = ["spec_schema", "compiler.load", "compiler.resolve"]

with atheris.instrument_imports(include=OURS):
    from tests.hostile.targets import one_input

if __name__ == "__main__":
    atheris.Setup([COMMAND, *sys.argv[1:]], one_input)
    atheris.Fuzz()
