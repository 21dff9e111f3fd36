"""What a network of 10,000 modules costs: `check`, building it on the meta device, `params` and `explain`.

Each is a whole process, of which the CPU time of one that imports torch alone is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measured import Row, processes_in_turns

LIMIT = 2.0
MODULES, FEWER = 10_000, 1_000
ROUNDS = 3

FLAT = """\
spec: 1
inputs: {{x: "float32[batch, 4]"}}
model:
  layers:
    h: {{repeat: {layers}, of: Linear(4)}}
  forward(x): |
    return h(x)
"""
BLOCKS = """\
spec: 1
inputs: {{x: "float32[batch, 8]"}}
blocks:
  Block(width):
    layers:
      norm: LayerNorm
      up: Linear(2 * width)
      act: GELU
      down: Linear(width)
    forward: |
      return x + down(act(up(norm(x))))
model:
  layers:
    h: {{repeat: {blocks}, of: Block(8)}}
    head: Linear(10)
  forward(x): |
    return head(h(x))
init:
  - Linear.bias: zeros
  - down.weight: normal(std=0.01)
"""
BUILD = "import sys, compiler, runtime; runtime.build(compiler.compile(sys.argv[1]), device='meta')"


def specs(modules: int) -> dict[str, str]:
    """Return the texts of networks of so many modules."""
    return {
        f"{modules:,} layers in a row": FLAT.format(layers=modules),
        f"{modules // 5:,} equal blocks of five modules": BLOCKS.format(blocks=modules // 5),
    }


def works(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the arguments of Python for each work on a spec."""
    command = ("-m", "compiler")
    return {
        "check": (*command, "check", str(path)),
        "build on meta": ("-c", BUILD, str(path)),
        "params": (*command, "params", str(path)),
        "explain": (*command, "explain", str(path), "/"),
    }


def rows(quick: bool) -> Iterator[Row]:
    """Measure each work on each network."""
    with TemporaryDirectory() as folder:
        for name, text in specs(FEWER if quick else MODULES).items():
            path = Path(folder, "spec.yaml")
            path.write_text(text, encoding="utf-8")
            for work, arguments in works(path).items():
                taken = processes_in_turns(arguments, ("-c", "import torch"), 1 if quick else ROUNDS)
                beyond = tuple(ours.seconds - torch.seconds for ours, torch in taken)
                yield Row(12, f"{name}: `{work}`, CPU beyond importing torch", beyond, LIMIT, "s")
