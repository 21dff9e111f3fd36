"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`, writes docs/benchmarks.md.

Named ones are only printed, and so are those of `--quick`, which takes less than two minutes. `--base REVISION`
measures the packages of another revision too, in turns with those of today, and fails if a row is over the tolerance.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.base import (
    TOLERANCE,
    Compared,
    NoSuchRevisionError,
    compared,
    pooled,
    regressions,
    tree_of,
)
from benchmarks.measured import Row
from benchmarks.page import figures, limit, number, page
from benchmarks.run import ROOT, Outcome, names, run

PAGE = "docs/benchmarks.md"
LONGEST = 3600.0
"""Seconds after which a benchmark is stopped."""
QUICK, QUICK_EACH = 110.0, 30.0
"""Seconds for all benchmarks together, and for each, if it has to be quick; with a base, for each of the four turns."""


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run the benchmarks of a project; return 1 if one of them fails, or is slower than the base."""
    options, start = read_options(arguments, root), time.monotonic()
    with ExitStack() as stack:
        try:
            base = [stack.enter_context(tree_of(options.base, root))] if options.base else []
        except NoSuchRevisionError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        outcomes, beside = measured(options.names or names(root), options.quick, [root, *base])
    whole = not options.names and not options.quick
    if whole:
        (root / PAGE).write_text(page(outcomes, (time.monotonic() - start) / 60), encoding="utf-8")
    failed = [each for each in outcomes if each.failure]
    for each in failed:
        print(*each.said, sep="\n", end="\n" * bool(each.said), file=sys.stderr)
        print(f"{each.name} {'was stopped' if each.stopped else 'failed'}: {each.failure}")
    over = regressions(beside, options.tolerance)
    for comparison in beside:
        print(_comparison(comparison, comparison in over))
    if whole:
        print(f"{PAGE} is written")
    return 1 if over or any(not (each.stopped and options.quick) for each in failed) else 0


def read_options(arguments: Sequence[str], root: Path) -> Namespace:
    """Return the options; a name that no benchmark has ends the program."""
    known = ", ".join(names(root))
    parser = ArgumentParser("python -m benchmarks", description="Measure what stands in docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {known}")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer, in less than two minutes")
    parser.add_argument("--base", metavar="REVISION", help="compare with the packages of a revision")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="RATIO",
        help=f"what a row may be by that of the base, {TOLERANCE} if not given",
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in names(root):
            parser.error(f"there is no benchmark `{name}`, only {known}")
    return options


def measured(
    chosen: Sequence[str], quick: bool, roots: Sequence[Path]
) -> tuple[list[Outcome], list[Compared]]:
    """Run each benchmark; with a base now, there, there and now, so that both meet the same neighbours."""
    turns = [*roots, *reversed(roots)] if len(roots) > 1 else roots
    end = time.monotonic() + QUICK * len(turns)
    outcomes: list[Outcome] = []
    beside: list[Compared] = []
    for at, name in enumerate(chosen, 1):
        print(f"{name}, {at} of {len(chosen)}", flush=True)
        found: dict[Path, Outcome] = {}
        for root in turns:
            longest = min(QUICK_EACH, end - time.monotonic()) if quick else LONGEST
            made = run(name, quick, longest, _printer("" if root is roots[0] else "base: "), root)
            found[root] = pooled(found[root], made) if root in found else made
        outcomes.append(found[roots[0]])
        beside += [each for root in roots[1:] for each in compared(outcomes[-1], found[root])]
    return outcomes, beside


def _printer(prefix: str) -> Callable[[Row], None]:
    """Return what prints a row when it is measured."""
    return lambda row: print(f"  {prefix}{line(row)}", flush=True)


def line(row: Row) -> str:
    """Return a row as one line of a terminal."""
    if not row.samples:
        return f"{row.number or '–'}  {row.work}: not measured, {row.note}"
    figure, spread = figures(row)
    reached = {True: ", reached", False: ", not reached", None: ""}[row.reached]
    return f"{row.number or '–'}  {row.work}: {figure} ({spread}) {limit(row)}{reached}".rstrip()


def _comparison(each: Compared, over: bool) -> str:
    name = f"{each.name}: {each.now.work}"
    if each.ratio is None or each.then is None:
        return f"{name}: not compared, {each.reason or 'it was not measured'}"
    both = f"{number(each.now.figure)} ÷ {number(each.then.figure)} = {each.ratio:.2f}"
    return f"{name}: now ÷ base {both}{', SLOWER' if over else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
