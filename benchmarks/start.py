"""Whole processes beside `import torch`: verbs of a small spec, cold, and once more when nothing has changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measured import Row, process, processes_in_turns, said

LIMITS = {"check": 1.2, "emit": 1.2, "summary": 1.3}
WARM = 0.35
TORCH = ("-c", "import torch")
SPEC = """
spec: 1
name: small
vars: {width: 128, depth: 3}
inputs: {image: "float32[batch, 1, 28, 28]"}
blocks:
  Block(width):
    layers: {norm: LayerNorm, up: Linear(4 * width), down: Linear(width)}
    forward: |
      return x + down(gelu(up(norm(x))))
model:
  layers:
    stem: Linear(width)
    blocks: {repeat: depth, of: Block(width)}
    head: Linear(10)
  forward: |
    return head(blocks(stem(image.flatten(1))))
init:
  - Linear.bias: zeros
  - down.weight: normal(std=0.01)
"""
IMPORTS = """
import atexit, sys
import torch
before = set(sys.modules)
sys.argv = ["blockprint", *sys.argv[1:]]
atexit.register(lambda: print("\\n".join(["", "imports", *sorted(sys.modules.keys() - before)])))
from compiler.__main__ import main
main()
"""
"""A verb, and then a line for each module that it imports and `import torch` does not."""
LARGE = 10
"""Modules. A package with as many is named."""


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the cold and of the warm start of each verb; of `check` alone if it has to be quick."""
    rounds = 2 if quick else 7
    with TemporaryDirectory() as folder:
        spec = Path(folder) / "small.yaml"
        spec.write_text(SPEC)
        for verb, limit in LIMITS.items() if not quick else [("check", LIMITS["check"])]:
            command = ("-m", "compiler", verb, str(spec))
            with variables({"BLOCKPRINT_CACHE": "off"}):
                yield Row(3, f"{verb} ÷ import torch", _ratios(command, rounds), limit)
                yield _imports(verb, spec)
            kept = {"BLOCKPRINT_CACHE": f"{folder}/cache", "XDG_STATE_HOME": f"{folder}/state"}
            with variables(kept):
                process(*command)
                yield Row(3, f"{verb}, nothing changed, ÷ import torch", _ratios(command, rounds), WARM)


def _imports(verb: str, spec: Path) -> Row:
    """Return the number of modules that a verb imports beyond those of torch, and the packages with most of them."""
    names = said("-c", IMPORTS, verb, str(spec)).partition("\nimports\n")[2].split()
    packages = Counter(name.partition(".")[0] for name in names).most_common()
    large = ", ".join(f"{package} {number}" for package, number in packages if number >= LARGE)
    return Row(0, f"{verb}: modules beyond `import torch`", (len(names),), unit="modules", note=large)


def _ratios(command: tuple[str, ...], rounds: int) -> tuple[float, ...]:
    pairs = processes_in_turns(command, TORCH, rounds)
    return tuple(ours.seconds / theirs.seconds for ours, theirs in pairs)


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Let processes see variables of the environment, for the time of a `with`."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
