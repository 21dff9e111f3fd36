"""`evaluate` and `predict`: what a saved model is worth, and what it makes of new data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compiler.cli.console import facts, out, say, status
from compiler.cli.options import AllowLarge, DataLimit, DataPaths, Device, ExpectDigest, OutputFormat, Plugins
from compiler.cli.outcome import Format, UsageProblem
from compiler.cli.placing import check_devices, read_devices
from compiler.cli.run import check_target, print_metrics
from compiler.cli.subject import Subject, check_file
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.shown import shown

if TYPE_CHECKING:
    from torch import nn

Model = Annotated[
    Path, typer.Argument(metavar="MODEL", show_default=False, help="A model file that `run` saved.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", show_default=False, help="Other data: all of this file or folder, not the test split."
    ),
]
Inputs = Annotated[
    list[Path],
    typer.Option(
        "--input",
        metavar="FILE",
        show_default=False,
        help="What to predict: a file or folder. May be given several times.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default=False,
        help="Where the predictions go: .npz, .safetensors, .csv or .parquet.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, show_default=False, help="How many items are taken at once."),
]


def evaluate(
    model: Model,
    data: Data = None,
    batch: Batch = None,
    device: Device = None,
    plugin: Plugins = None,
    data_path: DataPaths = None,
    data_limit: DataLimit = None,
    expect_digest: ExpectDigest = None,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Score a saved model on its own test split, or on other data.

    The loss and the metrics are those of the `train` section of its spec.
    """
    loaded = _model(model, device, plugin, expect_digest, allow_large)
    if data is not None and not data.is_dir():
        check_file(data)
    with status("loading the trainer"):
        from runtime.evaluate import evaluate as score
    results = score(
        loaded,
        data=data,
        data_paths=data_path or (),
        data_limit=data_limit or DEFAULT_LIMITS.data_bytes,
        batch=batch,
        progress=True,
    )
    _print(results, str(data) if data is not None else "its test split", format)


def predict(
    model: Model,
    input: Inputs,
    output: Output,
    batch: Batch = None,
    device: Device = None,
    plugin: Plugins = None,
    data_limit: DataLimit = None,
    expect_digest: ExpectDigest = None,
    allow_large: AllowLarge = False,
    format: OutputFormat = Format.text,
) -> None:
    """Run a saved model on new data, and write what it returns: a row for each item."""
    from runtime.predictions import ending, write_predictions

    try:
        ending(output)
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    for path in input:
        if not path.is_dir():  # a folder holds images, or the parts of a table
            check_file(path)
        check_target(output, path)
    loaded = _model(model, device, plugin, expect_digest, allow_large)
    with status("loading the trainer"):
        from runtime.evaluate import predict as predicted
    limit = data_limit or DEFAULT_LIMITS.data_bytes
    values = predicted(loaded, input, data_limit=limit, batch=batch or 64, progress=True)
    write_predictions(output, values)
    forms = {name: f"{str(v.dtype).removeprefix('torch.')}{list(v.shape)}" for name, v in values.items()}
    match format:
        case Format.json:
            print(json.dumps({"path": str(output), "outputs": forms}, indent=2))
        case Format.short:
            say(*(f"{name}: {form}" for name, form in forms.items()))
        case Format.text:
            out().print(facts(forms.items()))
            out().print(f"wrote {shown(str(output))}", soft_wrap=True)


def _model(
    path: Path, device: list[str] | None, plugins: Any, digest: str | None, allow_large: bool
) -> nn.Module:
    """Load a saved model. UsageProblem if the file is something else."""
    check_file(path)
    subject = Subject(path, plugins=plugins, expect_digest=digest)
    if not subject.is_model:
        raise UsageProblem(f"`{path}` is no saved model", "`run SPEC` trains one, and saves it")
    devices = read_devices(device)
    check_devices(devices)
    return subject.model(devices, allow_large)


def _print(results: dict[str, Any], of: str, format: Format) -> None:
    match format:
        case Format.json:
            print(json.dumps({"data": of, "metrics": results}, indent=2))
        case Format.short:
            say(", ".join(f"{name} {value}" for name, value in results.items()))
        case Format.text:
            print_metrics(results)
