"""A verified load of GPT-2 (124M), beside BLAKE3 over the mapped file alone, of a copied file and of a mapped one.

With `BEFORE=FOLDER`, `PYTHONPATH=. python -m benchmarks.load` measures beside the older Blockprint in that folder too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from blake3 import blake3

import compiler
import runtime
from benchmarks.measured import Row, times
from runtime.files.sealed import read_file

ROOT = Path(__file__).parents[1]
LOADED_BY = """
import sys, time, runtime
runtime.load(sys.argv[1])
start = time.process_time()
runtime.load(sys.argv[1])
print(time.process_time() - start)
"""


def saved(folder: Path) -> Path:
    """Return a file that holds GPT-2."""
    path = folder / "gpt2.safetensors"
    runtime.save(runtime.build(compiler.compile(ROOT / "specs/zoo/gpt2.yaml"), device="cpu"), path)
    return path


def digest(path: Path) -> str:
    """Return the BLAKE3 of a file that is mapped."""
    return str(blake3().update_mmap(path).hexdigest())


def immutable(path: Path, flag: str) -> bool:
    """Let nobody change a file (`+i`), or everybody again (`-i`); return whether that could be done."""
    try:
        return subprocess.run(["chattr", flag, path], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = saved(Path(folder))
        yield from _rows(path, "copied", 2 if quick else 7)
        try:
            if immutable(path, "+i"):
                yield from _rows(path, "immutable and mapped", 2 if quick else 7)
        finally:
            immutable(path, "-i")


def _rows(path: Path, kind: str, rounds: int) -> Iterator[Row]:
    taken = times([partial(runtime.load, path), partial(read_file, path), partial(digest, path)], rounds)
    name = f"GPT-2 124M, {kind} ÷ BLAKE3 over the mapped file"
    note = (
        "what is copied takes fresh memory, whose first touch costs more than the digest; it is digested while it is"
        " copied, and a file that nobody can change is mapped"
        if kind == "copied"
        else ""
    )
    yield Row(8, f"verified load of {name}", tuple(each[0] / each[2] for each in taken), 1.5, note=note)
    yield Row(8, f"its tensors alone: {name}", tuple(each[1] / each[2] for each in taken), 1.5, note=note)


def seconds(path: Path, project: Path) -> float:
    """Return the CPU time of the second load in a process of its own, by the Blockprint of a folder."""
    command = [sys.executable, "-c", LOADED_BY, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    return float(
        subprocess.run(command, env=environment, cwd=project, capture_output=True, check=True).stdout
    )


def main() -> None:
    """Print the ratios."""
    for row in rows(quick=False):
        print(f"{row.work}: {row.figure:.2f}")
    before = os.environ.get("BEFORE")
    if before is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = saved(Path(folder))
        for kind, flag in (("copied", "-i"), ("immutable", "+i")):
            immutable(path, flag)
            ratios = [seconds(path, ROOT) / seconds(path, Path(before)) for _ in range(5)]
            print(f"{kind}: {median(ratios):.2f} of what it took before")
        immutable(path, "-i")


if __name__ == "__main__":
    main()
