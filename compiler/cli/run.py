"""`run`: train a model as its spec says, or build it and run it once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from compiler.cli.console import err, facts, out, say, status, table
from compiler.cli.forward import print_forward
from compiler.cli.mesh import Sizes as Mesh
from compiler.cli.mesh import read_sizes
from compiler.cli.options import (
    AllowLarge,
    DataLimit,
    DataPaths,
    Device,
    ExpectDigest,
    ImportPaths,
    OutputFormat,
    Plugins,
    Preset,
    Seed,
    Settings,
    Spec,
)
from compiler.cli.outcome import Format, UsageProblem, program_name
from compiler.cli.placing import check_devices, read_devices
from compiler.cli.ranks import as_rank, check_started, several, started
from compiler.cli.subject import Subject, check_file
from compiler.cli.summary import print_summary, read_summary
from spec_schema.shown import shown

if TYPE_CHECKING:
    from torch import nn

    from compiler.artifact import Artifact
    from compiler.rules.plan import PlanRow
    from runtime.placement import Devices
    from runtime.training.outcome import Trained

OUT = Path("out")
LARGE = 64 * 2**20
"""Bytes of a model that takes so long to fill that progress is shown."""
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", show_default=str(OUT), help="Training: where model, report, checkpoint and log go."
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, show_default=False, help="Training: so many epochs, not as the spec says."
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="Training: go on from a checkpoint."),
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SECTION",
        show_default=False,
        help="Training: go on with new values of a section, such as `train.optimizer`. May be given several times.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", show_default=False, help="Save the model, architecture and weights, in a file."
    ),
]


def run(
    spec: Spec,
    set_: Settings = None,
    preset: Preset = None,
    seed: Seed = 0,
    device: Device = None,
    out: Out = None,
    epochs: Epochs = None,
    resume: Resume = None,
    override: Override = None,
    mesh: Mesh = None,
    save: Save = None,
    plugin: Plugins = None,
    import_path: ImportPaths = None,
    data_path: DataPaths = None,
    data_limit: DataLimit = None,
    expect_digest: ExpectDigest = None,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Train a model as its spec says, and save it as one file.

    A spec without a `train` section, or a saved model, is run once on random inputs. Started by `torchrun`, each
    process is a rank of the mesh that the spec has, and all train one model.
    """
    training = {
        "out": out,
        "epochs": epochs,
        "resume": resume,
        "override": override,
        "data_limit": data_limit,
    }
    with as_rank():
        subject = Subject(spec, set_, preset, plugin, import_path, expect_digest)
        _check_paths(spec, resume, save)
        devices = read_devices(device)
        check_devices(devices)
        _check_override(override, resume)
        sizes = _sizes(mesh)
        if subject.is_model:
            _refuse(training, "this is a saved model")
            _refuse_ranks("this is a saved model")
            model = subject.model(devices, allow_large)
            if format is Format.text:
                err().print("note: its inputs are random numbers; `predict` runs it on data", soft_wrap=True)
            print_forward(model, seed, format)
        elif (artifact := subject.artifact()).training is None:
            _refuse(training, "the spec has no `train` section")
            _refuse_ranks("the spec has no `train` section")
            model = _build(subject, artifact, seed, devices, allow_large)
            print_forward(model, seed, format)
        else:
            options: dict[str, Any] = {
                "seed": seed,
                "device": devices,
                "data_paths": data_path or (),
                "mesh": sizes,
            }
            options |= {"allow_large": allow_large, "out": OUT, **_given(training)}
            model = _train(artifact, options, format).model
        if save is not None:
            _save(model, save)


def _sizes(given: list[str] | None) -> dict[str, int] | None:
    """Return the sizes of axes that are given, where this process is one of several ranks; None where it is alone."""
    sizes = read_sizes(given)
    if several() or (sizes and started()):
        return sizes
    if sizes:
        count = prod(sizes.values())
        help = f"start them: `torchrun --nproc-per-node {count} -m compiler run ...`"
        raise UsageProblem("`--mesh` is for several ranks, and this process is alone", help)
    return None


def _refuse_ranks(reason: str) -> None:
    if several():
        raise UsageProblem(f"several ranks train a model, and {reason}", "start it without `torchrun`")


def _check_paths(spec: Path, resume: Path | None, save: Path | None) -> None:
    """Make sure that what is read is there, and that what is written may be. UsageProblem otherwise."""
    check_file(spec)
    if resume is not None:
        check_file(resume)
    check_target(save, spec)


def _check_override(sections: list[str] | None, resume: Path | None) -> None:
    """Make sure that what is overridden can be. UsageProblem otherwise."""
    if sections is None:
        return
    if resume is None:
        message = "`--override` says what is new in a training that goes on"
        raise UsageProblem(message, "name its checkpoint with `--resume FILE`")
    from runtime.training.override import check_sections

    try:
        check_sections(sections)
    except ValueError as error:
        raise UsageProblem(*str(error).split("\n")) from None


def _save(model: nn.Module, path: Path) -> None:
    from runtime.store import save

    digest = save(model, path)
    err().print(f"saved {shown(str(path))}\ndigest {digest}", soft_wrap=True)


def check_target(path: Path | None, spec: Path) -> None:
    """Make sure that what is written is no folder, and not the spec itself. UsageProblem otherwise."""
    if path is None:
        return
    if path.is_dir():
        raise UsageProblem(
            f"`{path}` is a folder", f"name a file in it, such as `{path / 'model.safetensors'}`"
        )
    if path.exists() and not path.is_file():
        raise UsageProblem(f"`{path}` is no ordinary file")
    if path.exists() and path.samefile(spec):
        raise UsageProblem(f"`{path}` is the spec itself, and would be overwritten", "name another file")


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Refuse options that are for training."""
    for name in _given(options):
        raise UsageProblem(f"`--{name.replace('_', '-')}` is for training, and {reason}")


def _given(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that the user has given."""
    return {name: value for name, value in options.items() if value is not None}


# --- training -------------------------------------------------------------------------------------------


def _train(artifact: Artifact, options: Mapping[str, Any], format: Format) -> Trained:
    from runtime.train import check_installed, train

    assert artifact.training is not None
    check_installed(artifact.training)
    if options["mesh"] is not None:
        check_started(artifact, options["mesh"])
    if format is Format.text:
        print_summary(out(), read_summary(artifact))
        out().print()
    with status("loading the trainer"):
        import pytorch_lightning  # noqa: F401 - takes seconds

    trained = train(artifact, **options)
    print_trained(trained, format, artifact.folder)
    return trained


def print_trained(trained: Trained, format: Format, folder: Path) -> None:
    """Print what came of a training, and what can be done next. `folder` is that of the spec."""
    metrics = {name: _plain(value) for name, value in trained.metrics.items()}
    files = {"path": str(trained.path), "digest": trained.digest}
    files |= {"checkpoint": str(trained.checkpoint), "log": str(trained.log)}
    files |= {} if trained.report is None else {"report": str(trained.report)}
    match format:
        case Format.json:
            lengths = {"epochs": trained.epochs, "steps": trained.steps}
            lengths |= {} if trained.best_epoch is None else {"best_epoch": trained.best_epoch}
            print(json.dumps({"metrics": metrics, **lengths, **files}, indent=2))
        case Format.short:
            say(", ".join([str(trained.path), *(f"{name} {_number(v)}" for name, v in metrics.items())]))
        case Format.text:
            _print_results(trained, metrics, folder)


def _print_results(trained: Trained, metrics: Mapping[str, Any], folder: Path) -> None:
    from runtime.training.outcome import next_steps

    console = out()
    console.print()
    print_metrics(metrics)
    console.print()
    console.print(facts(_files(trained)))
    console.print()
    console.print(facts(next_steps(trained, folder, program_name())))


def _files(trained: Trained) -> Iterator[tuple[str, str]]:
    yield "model", f"{trained.path}: architecture and weights"
    yield "digest", trained.digest
    if trained.best_epoch is not None:
        yield "best epoch", f"{trained.best_epoch}, whose model is saved"
    if trained.report is not None:
        yield "report", f"{trained.report}: curves, predictions and the spec, for a browser"
    yield "log", f"{trained.log}: {trained.epochs} epochs, {trained.steps} steps"
    yield "checkpoint", f"{trained.checkpoint}: the state after the last epoch, for `--resume`"


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the results of a training or an evaluation as a table."""
    results = table("result", "value", numbers=("value",))
    for name, value in metrics.items():
        results.add_row(name, _number(value))
    out().print(results)


def _plain(value: Any) -> Any:
    """Return a metric as plain values."""
    return value.tolist() if hasattr(value, "tolist") else value


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


# --- building -------------------------------------------------------------------------------------------


def _build(subject: Subject, artifact: Artifact, seed: int, device: Devices, allow_large: bool) -> nn.Module:
    from runtime.build import build

    with filling(artifact) as on_row:
        return build(artifact, seed, device, subject.folder, allow_large, on_row)


@contextmanager
def filling(artifact: Artifact) -> Iterator[Callable[[PlanRow], None]]:
    """Show how far a large model is, on a terminal; yield what is to be called after each tensor."""
    total = sum(row.bytes for row in artifact.plan.rows)
    console = err()
    shown = console.is_terminal and total >= LARGE
    columns = (
        TextColumn("first values"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=total)
        yield lambda row: progress.advance(task, row.bytes)
