"""How compiling grows with what a spec holds: `PYTHONPATH=. python benchmarks/growth.py [SIZE SIZE] [NAME ...]`.

Each row is measured in seconds of CPU at two sizes, in one process, after a run of a small spec; the slope is that of
the line between them where both axes are logarithmic: 1 for time in proportion, 2 for its square.
"""

from __future__ import annotations

import gc
import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from math import log

from rich.console import Console
from rich.table import Table

from compiler.artifact import Artifact
from compiler.cli.console import out
from compiler.cli.params import print_params
from compiler.pipeline import compile_text
from runtime.placement import settle
from runtime.summary import summarise
from spec_schema.clock import Clock
from spec_schema.limits import DEFAULT_LIMITS

LIMITS = replace(DEFAULT_LIMITS, file_bytes=1 << 26, nodes=10**7, compile_seconds=1e6, modules=10**7)
SIZES = (1_000, 10_000)
SMALL = 10


def spec(layers: int, section: str = "", rules: str = "") -> str:
    """Return a spec of so many layers in a row."""
    head = 'spec: 1\ninputs: {x: "float32[batch, 4]"}\nmodel:\n  layers:\n'
    body = f"    h: {{repeat: {layers}, of: Linear(4)}}\n  forward(x): |\n    return h(x)\n"
    return head + body + (f"{section}:\n{rules}" if section else "")


def each(count: int, rule: str) -> str:
    """Return a rule for each layer, in which `@` is its number."""
    return "".join(f"  {rule.replace('@', str(at))}\n" for at in range(count))


def pairs(count: int) -> str:
    return "".join(f"  g{at}: [h.{2 * at}, h.{2 * at + 1}]\n" for at in range(count))


SPECS: dict[str, Callable[[int], str]] = {
    "init rules": lambda n: spec(n, "init", each(n, "- h.@.weight: normal(std=0.0@1)")),
    "init rules by index": lambda n: spec(n, "init", each(n, "- h[@].weight: normal(std=0.0@1)")),
    "share groups": lambda n: spec(2 * n, "share", pairs(n)),
    "names in one group": lambda n: spec(n, "share", "  g: [h.*]\n"),
    "freeze selectors": lambda n: spec(n, "freeze", each(n, "- h.@")),
    "placement rules": lambda n: spec(n, "placement", each(n, "- h.@: cpu")),
}
"""Specs whose rules take most of the time: of the stage `rules`, and of the whole."""

AFTERWARDS: dict[str, Callable[[Artifact], object]] = {
    "params": lambda artifact: _printed(artifact),
    "summary": summarise,
    "source formatting": lambda artifact: artifact.class_source,
    "settle": lambda artifact: settle(artifact, "cpu"),
}
"""What is done with a compiled spec of layers, without rules."""


@dataclass(frozen=True)
class Row:
    """The seconds of one work at two sizes."""

    name: str
    sizes: tuple[int, int]
    seconds: tuple[float, float]

    @property
    def slope(self) -> float:
        """The exponent with which the time grows."""
        return log(self.seconds[1] / self.seconds[0]) / log(self.sizes[1] / self.sizes[0])


def _printed(artifact: Artifact) -> None:
    with redirect_stdout(io.StringIO()):
        print_params(out(), list(artifact.plan.rows), {})


def compiled(text: str) -> tuple[float, float]:
    """Return the seconds of the stage `rules`, and of compiling a spec."""
    gc.collect()
    clock = Clock(1e6)
    start = time.process_time()
    with clock.running():
        compile_text(text, limits=LIMITS)
    return clock.spent["rules"], time.process_time() - start


def afterwards(work: Callable[[Artifact], object], artifact: Artifact) -> float:
    """Return the seconds of some work on an artifact."""
    gc.collect()
    start = time.process_time()
    work(artifact)
    return time.process_time() - start


def measure(sizes: tuple[int, int] = SIZES, names: tuple[str, ...] = ()) -> Iterator[Row]:
    """Yield the rows whose names begin so, all of them if there are none."""
    wanted = names or ("",)
    for name, make in SPECS.items():
        if name.startswith(wanted):
            compiled(make(SMALL))
            few, many = (compiled(make(size)) for size in sizes)
            yield Row(f"{name}, rules", sizes, (few[0], many[0]))
            yield Row(f"{name}, compile", sizes, (few[1], many[1]))
    for name, work in AFTERWARDS.items():
        if name.startswith(wanted):
            made = [compile_text(spec(size), limits=LIMITS) for size in (SMALL, *sizes)]
            _, first, second = (afterwards(work, artifact) for artifact in made)
            yield Row(name, sizes, (first, second))


def main() -> None:
    """Print the table."""
    given = [int(text) for text in sys.argv[1:3] if text.isdigit()]
    sizes = (given[0], given[1]) if len(given) == len(SIZES) else SIZES
    table = Table("work", *(f"{size:,}" for size in sizes), "slope")
    for row in measure(sizes, tuple(text for text in sys.argv[1:] if not text.isdigit())):
        table.add_row(row.name, *(f"{seconds:.2f} s" for seconds in row.seconds), f"{row.slope:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
