"""The page: what there is to say of a training, put into the template, and written in one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch
from torch import Tensor

from compiler.artifact import Artifact
from compiler.training.section import Training
from runtime.files.atomic import write_whole
from runtime.report.charts import short
from runtime.report.examined import Examined, Example, examine
from runtime.report.judged import Confusion, Residuals, confusion, residuals
from runtime.report.log import Columns, curves, read_columns
from runtime.report.pictures import data_uri, is_picture
from runtime.training.learner import Learner
from runtime.training.log import LAST
from runtime.training.outcome import Trained, next_steps
from spec_schema.shown import escape, shown

PROGRAM = "python -m compiler"
SHOWN_NUMBERS = 8
"""Numbers of a field that are written out."""
TEMPLATE = "page.html"


def write_report(
    path: Path, trained: Trained, learner: Learner, artifact: Artifact, device: torch.device, seed: int
) -> None:
    """Write the report of a training. The model, which `learner` has, stays as it is, but may change its place.

    Raises:
        OSError: the page cannot be written; an older one is unchanged.
    """
    training = learner.task.training
    examined = examine(learner, device, training.precision)
    if learner.task.shares.rank:
        return  # the first rank writes
    told = page(trained, learner, artifact, examined, seed)
    write_whole(path, lambda file: file.write(told.encode("utf-8")))


def page(trained: Trained, learner: Learner, artifact: Artifact, examined: Examined, seed: int) -> str:
    """Return the page. All that comes from the spec and from the data is escaped, and shown on one line."""
    training, texts = learner.task.training, _texts(learner)
    metrics = [measure.name for measure in training.metrics]
    logged = read_columns(trained.log)
    names = _class_names(training, examined, texts)
    return _template().render(
        title=trained.path.stem,
        facts=list(_facts(trained, training, artifact, seed)),
        metrics=[(name, _result(value)) for name, value in _results(trained, logged).items()],
        curves=curves(logged, metrics, trained.best_epoch),
        examined=examined,
        confusion=_confusion(examined, names),
        residuals=_residuals(examined),
        hardest=list(_hardest(examined, learner, names, texts)),
        groups=list(_groups(training, artifact)),
        variables=_variables(artifact),
        spec="\n".join(escape(line) for line in training.span.file.text.splitlines()),
        steps=list(next_steps(trained, artifact.folder, PROGRAM)),
        log=str(trained.log),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(shown=lambda text: shown(str(text)), short=short)
    return environment.get_template(TEMPLATE)


# What there is to say.


def _facts(trained: Trained, training: Training, artifact: Artifact, seed: int) -> Iterator[tuple[str, str]]:
    examples = training.batch * training.accumulate
    yield (
        "length",
        f"{_counted(trained.epochs, 'epoch')}, {_counted(trained.steps, 'step')} of {examples:,} examples",
    )
    if trained.best_epoch is not None and training.monitor is not None:
        yield "saved model", f"that of epoch {trained.best_epoch}, the best by {training.monitor.name}"
    if training.ema is not None:
        yield "parameters", f"their moving average, which keeps {training.ema:g} of itself at each step"
    count = sum(row.elements for row in artifact.plan.parameters)
    yield "size", f"{count:,} parameters"
    yield "seed", str(seed)
    yield "digest", trained.digest


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _result(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else shown(str(value))


def _results(trained: Trained, logged: Columns) -> dict[str, Any]:
    """Return the results; the loss in training is that in the log: what is resumed at its end makes no step."""
    last = {LAST: logged.epochs[LAST][-1][1]} if LAST in logged.epochs else {}
    return {**last, **trained.metrics}


def _confusion(examined: Examined, names: Sequence[str]) -> Confusion | None:
    if examined.kind != "classes":
        return None
    return confusion(torch.cat(examined.predicted), torch.cat(examined.true), names)


def _residuals(examined: Examined) -> Residuals | None:
    if examined.kind != "numbers":
        return None
    return residuals(torch.cat(examined.predicted).flatten(), torch.cat(examined.true).flatten())


def _groups(training: Training, artifact: Artifact) -> Iterator[tuple[str, str, int, int]]:
    """Yield each group of parameters: its optimizer, its options, and how many tensors and numbers it has."""
    sizes = {name: (row.name, row.elements) for row in artifact.plan.parameters for name in row.names}
    for group in training.groups:
        making = training.optimizers[group.optimizer]
        options = {**making.arguments, **group.options}
        tensors = {sizes[name] for name in group.parameters if name in sizes}
        told = ", ".join(f"{name} {value}" for name, value in options.items())
        yield making.name, told or "its own defaults", len(tensors), sum(size for _, size in tensors)
    frozen = [row.elements for row in artifact.plan.parameters if not row.trainable]
    if frozen:
        yield "none", "frozen", len(frozen), sum(frozen)


def _variables(artifact: Artifact) -> list[tuple[str, str]]:
    """Return the values of the variables, which the caller may have set."""
    return [(name, str(value)) for name, value in artifact.canonical["spec"].get("vars", {}).items()]


# Classes and texts by their numbers.


def _texts(learner: Learner) -> Mapping[str, Sequence[str]]:
    """Return what the numbers of a field stand for, where the data have texts."""
    splits, fields = learner.task.splits, learner.task.training.data.fields
    if splits is None:
        return {}
    known = {name: sorted(numbers, key=numbers.__getitem__) for name, numbers in splits.texts.items()}
    return {name: known[each.array] for name, each in fields.items() if each.array in known}


def _class_names(training: Training, examined: Examined, texts: Mapping[str, Sequence[str]]) -> Sequence[str]:
    found = texts.get(training.loss.fields[-1], ()) if training.loss.fields else ()
    return found if len(found) == examined.classes else [str(number) for number in range(examined.classes)]


# The hardest examples.


def _hardest(
    examined: Examined, learner: Learner, names: Sequence[str], texts: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Yield what there is to say of each of the hardest examples; nothing if all are alike."""
    if len({example.loss for example in examined.hardest}) < 2:
        return
    for example in examined.hardest:
        inputs = {name: example.fields[name] for name in learner.task.inputs}
        pictures = [(name, data_uri(value)) for name, value in inputs.items() if is_picture(value)]
        others = [(name, value) for name, value in example.fields.items() if not is_picture(value)]
        told = _told(example, examined, names)
        if told:
            others = [(name, value) for name, value in others if name in inputs]
        yield {
            "place": example.place,
            "loss": short(example.loss),
            "told": told,
            "pictures": pictures,
            "others": [(name, written(value, texts.get(name))) for name, value in others],
        }


def _told(example: Example, examined: Examined, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is predicted of an example, and what is true."""
    if example.told is None:
        return []
    predicted, true = example.told
    if examined.kind == "numbers":
        return [("predicted", written(predicted)), ("true", written(true))]
    return [("predicted", _class(int(predicted), names)), ("true", _class(int(true), names))]


def _class(number: int, names: Sequence[str]) -> str:
    return shown(names[number]) if 0 <= number < len(names) else str(number)


def written(value: Tensor, texts: Sequence[str] | None = None) -> str:
    """Return the first numbers of a tensor, or the texts that they stand for."""
    if texts is not None and value.ndim and not value.is_floating_point():
        return shown("".join(_class(number, texts) for number in value.flatten().tolist()))
    if texts is not None and not value.ndim:
        return _class(int(value), texts)
    numbers = value.flatten()[:SHOWN_NUMBERS].tolist()
    listed = ", ".join(short(number) if isinstance(number, float) else str(number) for number in numbers)
    return f"{listed}, … ({value.numel():,} numbers)" if value.numel() > SHOWN_NUMBERS else listed
