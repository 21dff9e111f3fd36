"""`bench SPEC`: how long a forward takes on each device, at each batch, and beside a module written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from compiler.cli.bench_devices import named_devices, progress, time_text, verdicts
from compiler.cli.bench_reference import Reference, problem, read_reference
from compiler.cli.console import out, say, table
from compiler.cli.forward import failed
from compiler.cli.outcome import FileProblem, Format, UsageProblem
from compiler.cli.run import filling
from compiler.cli.subject import Subject
from compiler.cli.summary import count_text, memory_text

if TYPE_CHECKING:
    from torch import nn

    from compiler.artifact import Artifact
    from runtime.bench_model import ForwardError, Measured

BATCHES = "1,8,64"


@dataclass(frozen=True)
class Wanted:
    """What the command line says."""

    devices: Sequence[str] | None
    batch: str | None
    reference: str | None
    seconds: float
    seed: int
    allow_large: bool


@dataclass(frozen=True)
class Bench:
    """A spec on its devices, beside its reference if there is one, and what was measured."""

    artifact: Artifact
    devices: Sequence[str]
    seed: int
    measured: Sequence[Measured]
    reference: Reference | None
    unlike: str | None
    """Why the outputs of the reference could not be compared, if they could not."""


def bench_spec(subject: Subject, wanted: Wanted, format: Format) -> None:
    """Time the forward of a spec, and print what comes of it."""
    batches, names = read_batches(wanted.batch or BATCHES), named_devices(wanted.devices)
    reference = read_reference(wanted.reference) if wanted.reference is not None else None
    artifact = subject.artifact()
    _check_batch(artifact, subject, wanted)
    models = {name: _model(subject, artifact, wanted, name) for name in names}
    twins = {name: reference.made_on(name) for name in names} if reference is not None else None
    unlike = None
    if reference is not None and twins is not None:
        unlike = _alike(artifact, models, twins, reference, wanted.seed)
    measured = _measured(artifact, models, twins, batches, wanted, reference)
    found = Bench(artifact, names, wanted.seed, measured, reference, unlike)
    match format:
        case Format.json:
            print(json.dumps(as_json(found), indent=2))
        case Format.short:
            for each in measured:
                say(_short(each))
        case Format.text:
            print_bench(found)


def read_batches(text: str) -> list[int]:
    """Return the numbers of `1,8,64`, in order, each once. UsageProblem if it says something else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and int(part) for part in parts):
        raise UsageProblem(f"`--batch {text}` is no list of sizes", f"write `--batch {BATCHES}`")
    return sorted({int(part) for part in parts})


def _check_batch(artifact: Artifact, subject: Subject, wanted: Wanted) -> None:
    from runtime.bench_model import batch_dimension

    if wanted.batch is not None and batch_dimension(artifact) is None:
        message = (
            f"`--batch` sets an open dimension that comes first in an input, and {subject.path} has none"
        )
        raise UsageProblem(message, "declare an input such as `x: float32[batch, 8]`")


def _model(subject: Subject, artifact: Artifact, wanted: Wanted, device: str) -> nn.Module:
    from runtime.build import build

    if subject.is_model:
        return subject.model(device, wanted.allow_large)
    with filling(artifact) as on_row:
        return build(artifact, wanted.seed, device, subject.folder, wanted.allow_large, on_row)


def _alike(
    artifact: Artifact,
    models: dict[str, nn.Module],
    twins: dict[str, nn.Module],
    reference: Reference,
    seed: int,
) -> str | None:
    """Give the twins the values of the models; return why they have none of them, if so.

    Raises:
        FileProblem: a twin returns something else, or fails.
    """
    import torch

    from runtime.bench_model import ForwardError, inputs_on, tried
    from runtime.twin import difference, load_by_name, shake

    unlike = None
    for device, model in models.items():
        twin, inputs = twins[device], inputs_on(device, artifact, model, seed, {})
        shake(model, seed)
        with reference.blamed():
            unlike = load_by_name(model, twin)
        outputs = []
        for each in (model, twin):
            torch.manual_seed(seed)  # what they draw is the same too
            try:
                outputs.append(tried(each, inputs, device, of_twin=each is twin))
            except ForwardError as error:
                raise _failure(error, reference) from error
        gap = difference(outputs[0], outputs[1], of_values=unlike is None)
        if gap is not None:
            raise FileProblem(
                f"`{reference.name}` of {reference.path} is another model: {gap}", [f"on {device}"]
            )
    return unlike


def _failure(error: ForwardError, reference: Reference | None) -> FileProblem:
    """Return the problem that a failing forward is, with the line of the file that has it."""
    cause = error.__cause__
    assert isinstance(cause, Exception)
    if error.of_twin and reference is not None:
        return problem(reference.path, cause, f" {error}")
    found = failed(cause)
    return FileProblem(found.message, [str(error), *found.notes])


def _measured(
    artifact: Artifact,
    models: dict[str, nn.Module],
    twins: dict[str, nn.Module] | None,
    batches: list[int],
    wanted: Wanted,
    reference: Reference | None,
) -> list[Measured]:
    """Measure everything, and show on a terminal how much is done."""
    from runtime.bench_model import ForwardError, batch_dimension, bench_model

    each = len(batches) if batch_dimension(artifact) is not None else 1
    found = []
    with progress(each * len(models)) as advance:
        try:
            for one in bench_model(artifact, models, batches, twins, wanted.seconds, wanted.seed):
                found.append(one)
                advance(one)
        except ForwardError as error:
            raise _failure(error, reference) from error
    return found


# --- text -----------------------------------------------------------------------------------------------


def print_bench(found: Bench) -> None:
    """Print a row for each batch and device, and below what they mean."""
    console = out()
    headings = ["batch", "device", "latency", "quartiles", "per second", "memory"]
    beside = ["by hand"] if found.reference is not None else []
    numbers = [heading for heading in headings if heading != "device"] + beside
    rows = table(*headings, *beside, numbers=numbers, whole=["device"], spare=["quartiles", "memory"])
    for each in found.measured:
        rows.add_row(*_cells(each), *([_ratio(each)] if beside else []))
    console.print(rows)
    console.print()
    for line in _remarks(found):
        console.print(line)


def _cells(each: Measured) -> list[str]:
    from runtime.bench_model import quartiles

    low, high = map(time_text, quartiles(each.times))
    batch = f"{each.batch:,}" if each.batch is not None else "–"
    return [
        batch,
        each.device,
        time_text(each.seconds),
        f"{low}–{high}",
        _rate(each),
        memory_text(each.bytes),
    ]


def _rate(each: Measured) -> str:
    return f"{each.throughput:,.0f}" if each.throughput >= 100 else f"{each.throughput:.3g}"


def _ratio(each: Measured) -> str:
    """Return our time by that of the reference, with its quartiles."""
    from runtime.bench_model import quartiles

    low, high = quartiles(each.ratios)
    return f"{median(each.ratios):.2f} ({low:.2f}–{high:.2f})"


def _remarks(found: Bench) -> Iterator[str]:
    import torch

    from runtime.bench_model import wins_from

    artifact = found.artifact
    inputs = ", ".join(f"{each.name}: {each.type}" for each in artifact.program.inputs)
    others = ", ".join(f"{name} {size}" for name, size in _others(found).items())
    at = f" at {others}" if others else ""
    yield f"{artifact.name}, one forward of random inputs, evaluating: {inputs}{at}."
    if "cpu" in found.devices:
        yield f"The CPU ran with {count_text(torch.get_num_threads(), 'threads')}."
    if found.reference is not None:
        yield _of_reference(found.reference, found.unlike)
    batches = [each.batch for each in found.measured if each.batch is not None]
    if batches:
        yield from verdicts(
            found.devices, lambda name: _first(wins_from(found.measured, name)), f"batch {max(batches):,}"
        )


def _first(batch: int | None) -> str | None:
    return None if batch is None else f"batch {batch:,}"


def _others(found: Bench) -> dict[str, int]:
    """Return the sizes of open dimensions that are not the batch."""
    from runtime.bench_model import batch_dimension

    batch = batch_dimension(found.artifact)
    return {name: size for name, size in found.artifact.program.sizes.items() if name != batch}


def _of_reference(reference: Reference, unlike: str | None) -> str:
    start = f"`by hand` is our time (on the CPU, CPU time) by that of `{reference.name}` in {reference.path}"
    if unlike is None:
        return f"{start}, which has the same values and returns the same."
    return f"{start}. Whether both return the same could not be tried, only the shapes: {unlike}."


def _short(each: Measured) -> str:
    cells = [f"batch {each.batch}" if each.batch is not None else "", each.device, time_text(each.seconds)]
    cells += [
        _rate(each) + "/s",
        memory_text(each.bytes),
        f"{_ratio(each)} by hand" if each.twin_times else "",
    ]
    return " ".join(filter(None, cells))


# --- JSON -----------------------------------------------------------------------------------------------


def as_json(found: Bench) -> dict[str, Any]:
    """Return what was measured as plain values."""
    import torch

    from runtime.bench import CPU
    from runtime.bench_model import wins_from

    others = [name for name in found.devices if name != CPU and CPU in found.devices]
    made: dict[str, Any] = {
        "name": found.artifact.name,
        "sizes": _others(found),
        "seed": found.seed,
        "threads": torch.get_num_threads(),
        "timings": [_timing_as_json(each) for each in found.measured],
        "faster_than_cpu_from": {name: wins_from(found.measured, name) for name in others},
    }
    if found.reference is not None:
        place = f"{found.reference.path}:{found.reference.name}"
        made["reference"] = {"from": place, "same_values": found.unlike is None, "reason": found.unlike}
    return made


def _timing_as_json(each: Measured) -> dict[str, Any]:
    from runtime.bench_model import quartiles

    made: dict[str, Any] = {
        "batch": each.batch,
        "device": each.device,
        "seconds": each.seconds,
        "quartiles": list(quartiles(each.times)),
        "per_second": each.throughput,
        "bytes": each.bytes,
    }
    if each.twin_times:
        made["by_hand"] = {"seconds": median(each.twin_times), "ratio": median(each.ratios)}
        made["by_hand"]["quartiles"] = list(quartiles(each.ratios))
    return made
