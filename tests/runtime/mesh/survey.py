"""All cases on all their meshes, beside one process: `make meshes` writes the table of `docs/mesh.md`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import runtime
from spec_schema.diagnostics import SpecError
from tests.runtime.mesh.cases import CASES, compiled, losses_of, trained, values_of, write_data
from tests.runtime.mesh.ranks import on_ranks

PAGE = Path(__file__).parents[3] / "docs/mesh.md"
BEGIN, END = "<!-- meshes -->\n", "<!-- end of meshes -->\n"
HEAD = "| model | mesh | start | losses | weights | gone on from |\n|---|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Found:
    """How far a training on ranks is from that of one process, and where one came from that went on."""

    start: str
    losses: float
    weights: float
    resumed: float


def meshes_of(name: str, count: int) -> Iterator[dict[str, int]]:
    """Yield the meshes of a case that have so many ranks."""
    plan = compiled(name).mesh
    assert plan is not None
    first, *others = plan.axes
    for size in (1, 2, 4) if others else (count,):
        sizes = {first: size, **({others[0]: count // size} if others else {})}
        if count % size == 0 and _is_accepted(name, sizes):
            yield sizes


def _is_accepted(name: str, sizes: dict[str, int]) -> bool:
    """Return whether a mesh divides what is split over it, such as the heads of keys."""
    try:
        return compiled(name).mesh_of(sizes) is not None
    except SpecError:
        return False


def on_one_rank(name: str, folder: Path, meshes: list[dict[str, int]]) -> list[Any]:
    """Return what a rank finds on each mesh: digest at the start, values at the end, and after going on."""
    found = []
    for sizes in meshes:
        label = label_of(sizes)
        start = runtime.build_on_mesh(compiled(name), seed=3, sizes=sizes, device="cpu")
        digest = runtime.save(start, folder / f"start-{label}.safetensors")
        whole = trained(name, folder, folder / label, mesh=sizes)
        resumed = trained(name, folder, folder / f"on-{label}", mesh=sizes, resume=last(folder / "half"))
        found.append((digest, values_of(whole.model), values_of(resumed.model)))
    return found


def label_of(sizes: dict[str, int]) -> str:
    return " × ".join(f"{axis} {size}" for axis, size in sizes.items())


def last(out: Path) -> Path:
    return next(out.glob("*/checkpoint.safetensors"))


def log(out: Path) -> list[float]:
    return losses_of(next(out.glob("*/metrics.csv")))


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    return max(float(np.abs(one[name] - other[name]).max(initial=0)) for name in one)


def survey(name: str) -> Iterator[tuple[str, Found]]:
    """Yield what was found for each mesh of a case."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_data(folder)
        digest = runtime.save(runtime.build(compiled(name), seed=3), folder / "start.safetensors")
        whole = values_of(trained(name, folder, folder / "one").model)
        trained(name, folder, folder / "half", epochs=2)
        for count in (2, 4):
            (folder / f"ranks-{count}").mkdir()
            meshes = list(meshes_of(name, count))
            ranks = on_ranks(count, folder / f"ranks-{count}", on_one_rank, name, folder, meshes)
            for at, sizes in enumerate(meshes):
                label = label_of(sizes)
                same = all(rank[at][0] == digest for rank in ranks)
                losses = max(
                    abs(a - b) for a, b in zip(log(folder / label), log(folder / "one"), strict=True)
                )
                ends, resumed = (max(distance(rank[at][n], whole) for rank in ranks) for n in (1, 2))
                back = trained(name, folder, folder / f"back-{label}", resume=last(folder / label), epochs=5)
                longer = trained(name, folder, folder / "five", resume=last(folder / "one"), epochs=5)
                resumed = max(resumed, distance(values_of(back.model), values_of(longer.model)))
                yield label, Found("same bits" if same else "other bits", losses, ends, resumed)


def rows(names: list[str]) -> Iterator[str]:
    for name in names:
        for label, found in survey(name):
            numbers = " | ".join(f"{each:.0e}" for each in (found.losses, found.weights, found.resumed))
            yield f"| {name} | {label} | {found.start} | {numbers} |\n"


def main(names: list[str]) -> None:
    """Survey the cases that are named, or all, of which the page has the table."""
    found = []
    for row in rows(names or list(CASES)):
        print(row, end="", flush=True)
        found.append(row)
    if not names:
        text = PAGE.read_text()
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        PAGE.write_text("".join(chain((before, BEGIN, HEAD), found, (END, after))))


if __name__ == "__main__":
    main(sys.argv[1:])
