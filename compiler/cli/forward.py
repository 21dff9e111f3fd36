"""One forward of a model on random inputs, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from compiler.cli.console import facts, out, say, status
from compiler.cli.outcome import FileProblem, Format

if TYPE_CHECKING:
    from torch import Tensor, nn

    from compiler.artifact import Artifact

HEAD = 6
"""Values shown of an output."""


def print_forward(model: nn.Module, seed: int, format: Format) -> None:
    """Run a model that was built from a spec once on random inputs, and print what it returns."""
    from runtime.classes import artifact_of

    inputs, output = forward(artifact_of(model), model, seed)
    leaves = dict(_leaves("output", output))
    match format:
        case Format.json:
            shown = {name: _value_as_json(value) for name, value in leaves.items()}
            given = {name: _form(value) for name, value in inputs.items()}
            print(json.dumps({"seed": seed, "inputs": given, "outputs": shown}, indent=2))
        case Format.short:
            for name, value in leaves.items():
                say(f"{name}: {_form(value)}")
        case Format.text:
            given = {name: f"{_form(value)}, random by seed {seed}" for name, value in inputs.items()}
            entries = [
                *given.items(),
                *(entry for name, v in leaves.items() for entry in _output_lines(name, v)),
            ]
            out().print(facts(entries))


def forward(artifact: Artifact, model: nn.Module, seed: int) -> tuple[dict[str, Tensor], Any]:
    """Return random inputs, and what the model, evaluating, makes of them.

    Raises:
        FileProblem: the model fails, with the line of its emitted source.
    """
    import torch

    from runtime.samples import in_order, sample_inputs

    inputs = sample_inputs(artifact, model, seed)
    tensors = [*model.parameters(), *model.buffers()]
    placed = {name: value.to(tensors[0].device) if tensors else value for name, value in inputs.items()}
    model.eval()
    with status("running the model"), torch.no_grad():
        try:
            return placed, model(*in_order(artifact, placed))
        except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
            raise failed(error) from error


def failed(error: Exception) -> FileProblem:
    """Return the problem that a failing forward is, with the line where it fails."""
    from traceback import extract_tb

    own = [frame for frame in extract_tb(error.__traceback__) if frame.filename.startswith("<blockprint")]
    reason = " ".join(str(error).split())
    notes = (
        [f"in `{own[-1].name}`, line {own[-1].lineno} of the emitted source: {own[-1].line}"] if own else []
    )
    return FileProblem(f"the model fails on random inputs: {type(error).__name__}: {reason}", notes)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value of a nested output with its name."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}", part)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _leaves(f"{name}[{number}]", part)
    else:
        yield name, value


def _form(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is None:
        return repr(value)
    return f"{str(value.dtype).removeprefix('torch.')}{list(shape)}"


def _output_lines(name: str, value: Any) -> Iterator[tuple[str | Text, ...]]:
    yield name, Text(_form(value), "bold")
    if hasattr(value, "shape"):
        from runtime.statistics import statistics

        found = asdict(statistics(value))
        yield "", ", ".join(f"{title} {figure:.4g}" for title, figure in found.items() if figure is not None)
        yield "", _head(value)


def _head(value: Tensor) -> str:
    flat = value.flatten()
    texts = [f"{each:.4g}" if isinstance(each, float) else str(each) for each in flat[:HEAD].tolist()]
    return ", ".join([*texts, *(["..."] if flat.numel() > HEAD else [])])


def _value_as_json(value: Any) -> dict[str, Any]:
    if not hasattr(value, "shape"):
        return {
            "value": value if value is None or isinstance(value, bool | int | float | str) else repr(value)
        }
    from runtime.statistics import statistics

    dtype, shape = str(value.dtype).removeprefix("torch."), list(value.shape)
    return {"dtype": dtype, "shape": shape, "statistics": asdict(statistics(value)), "head": _head(value)}
