"""How compiling grows with what a spec holds, and what a thousand rules add to the same spec without them.

A slope is that of the line through the seconds of CPU at several sizes, where both axes are logarithmic: 1 for time in
proportion, 2 for its square.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import count

import runtime
from benchmarks.build import shares
from benchmarks.measured import Call, Row, seconds, slope
from compiler.artifact import Artifact
from compiler.cli.console import out
from compiler.cli.params import print_params
from compiler.pipeline import compile_text
from runtime.placement import settle
from runtime.summary import summarise
from spec_schema.limits import DEFAULT_LIMITS

LIMITS = replace(DEFAULT_LIMITS, file_bytes=1 << 26, nodes=10**7, compile_seconds=1e6, modules=10**7)
SIZES, QUICK_SIZES = (1_000, 3_000, 10_000), (100, 1_000)
SMALL = 10
ROUNDS = 3
SLOPE = 1.1
RULES = 1_000


def spec(layers: int, section: str = "", rules: str = "") -> str:
    """Return a spec of so many layers in a row."""
    head = 'spec: 1\ninputs: {x: "float32[batch, 4]"}\nmodel:\n  layers:\n'
    body = f"    h: {{repeat: {layers}, of: Linear(4)}}\n  forward(x): |\n    return h(x)\n"
    return head + body + (f"{section}:\n{rules}" if section else "")


def each(count: int, rule: str) -> str:
    """Return a rule for each layer, in which `@` is its number."""
    return "".join(f"  {rule.replace('@', str(at))}\n" for at in range(count))


def pairs(count: int) -> str:
    """Return a group for each two layers that follow each other."""
    return "".join(f"  g{at}: [h.{2 * at}, h.{2 * at + 1}]\n" for at in range(count))


SPECS: dict[str, Callable[[int], str]] = {
    "init rules": lambda n: spec(n, "init", each(n, "- h.@.weight: normal(std=0.0@1)")),
    "init rules by index": lambda n: spec(n, "init", each(n, "- h[@].weight: normal(std=0.0@1)")),
    "share groups": lambda n: spec(2 * n, "share", pairs(n)),
    "names in one group": lambda n: spec(n, "share", "  g: [h.*]\n"),
    "freeze selectors": lambda n: spec(n, "freeze", each(n, "- h.@")),
    "placement rules": lambda n: spec(n, "placement", each(n, "- h.@: cpu")),
}
"""Specs of `n` rules, which are compiled."""

AFTERWARDS: dict[str, tuple[str, Callable[[Artifact], object]]] = {
    "`params`": ("layers", lambda artifact: _printed(artifact)),
    "`summary`": ("layers", summarise),
    "source of classes": ("layers", lambda artifact: artifact.class_source),
    "formatting the source of different rules": ("init rules", lambda artifact: _formatted(artifact)),
    "settling on a device": ("layers", lambda artifact: settle(artifact, "cpu")),
    "building names in one group on meta": (
        "names in one group",
        lambda artifact: runtime.build(artifact, device="meta"),
    ),
}
"""What is done with a compiled spec, one of layers without rules, or one of those above."""

_number = count()

NOTES = {
    "building names in one group on meta": "`self.h[index] = self.h[0]` stands in the class, as written by hand,"
    " and `nn.Sequential` counts up to each index: by profile all that grows faster than the group"
}
"""Why something grows faster than it should."""
TRIED = (
    "Rules are matched by an index of literal names, a law is tried once for each shape, and passes rewrite only where"
    " there is something; each rule still is an expression to parse, a law to try and a statement to write"
)
"""What made rules faster, and what is left."""
ADDED = {"init rules": (RULES, 0.3), "share groups": (2 * RULES, 0.5)}
"""How many layers a thousand of them are for, and what they may add."""


def _printed(artifact: Artifact) -> None:
    with redirect_stdout(io.StringIO()):
        print_params(out(), list(artifact.plan.rows), {})


def _formatted(artifact: Artifact) -> str:
    from compiler.emit.style import format_tree

    return format_tree(artifact.tree)


def compiled(text: str) -> Artifact:
    """Return the artifact of a text, which was never compiled before: a comment behind it has its number."""
    return compile_text(f"{text}\n# {next(_number)}\n", limits=LIMITS)


def slopes(work: Callable[[int], Call], sizes: Sequence[int], rounds: int) -> tuple[float, ...]:
    """Return the slope of each round, after a call at a small size."""
    work(SMALL)()
    calls = [work(size) for size in sizes]
    return tuple(slope(sizes, [seconds(call) for call in calls]) for _ in range(rounds))


def compiling(make: Callable[[int], str]) -> Callable[[int], Call]:
    """Return what compiles the spec of a size."""
    return lambda size: lambda: compiled(make(size))


def doing(make: Callable[[int], str], work: Callable[[Artifact], object]) -> Callable[[int], Call]:
    """Return what does some work with the compiled spec of a size."""

    def of(size: int) -> Call:
        artifact = compiled(make(size))
        return lambda: work(artifact)

    return of


def added(name: str, layers: int, rounds: int) -> tuple[float, ...]:
    """Return the seconds that rules add to the compilation of their layers, in each round."""
    texts = spec(layers), SPECS[name](RULES)
    for text in texts:
        compiled(text)
    taken = [[seconds(lambda text=text: compiled(text)) for text in texts] for _ in range(rounds)]  # type: ignore[misc]
    return tuple(ours - without for without, ours in taken)


def rows(quick: bool) -> Iterator[Row]:
    """Measure what rules add, and all slopes."""
    rounds, sizes = (1, QUICK_SIZES) if quick else (ROUNDS, SIZES)
    for name, (layers, limit) in ADDED.items():
        work = f"{RULES:,} {name} for {layers:,} layers, beside the same layers without"
        stages = shares(lambda make=SPECS[name]: compiled(make(RULES)), rounds)  # type: ignore[misc]
        note = f"stages of the compiler: {stages}. {TRIED}"
        yield Row(10, work, added(name, layers, rounds), limit, "s", note=note)
    for name, make in SPECS.items():
        found = slopes(compiling(make), sizes, rounds)
        yield Row(10, f"{name}, compiled, to {sizes[-1]:,}", found, SLOPE, "slope")
    for name, (of, work_on) in AFTERWARDS.items():
        found = slopes(doing(SPECS.get(of, spec), work_on), sizes, rounds)
        yield Row(10, f"{name}, to {sizes[-1]:,}", found, SLOPE, "slope", note=NOTES.get(name, ""))
