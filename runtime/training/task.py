"""The task of a training or an evaluation: what is computed, tried once on a real batch, so that errors come first."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from compiler.artifact import Artifact
from compiler.infer.calls import TORCH_ERRORS
from compiler.infer.context import Context
from compiler.infer.reasons import reason
from compiler.training.metric import make_metric
from compiler.training.objective import OUTPUT, check_scalar, objective_functions, try_objective
from compiler.training.section import PRECISIONS, Measure, Training
from runtime.classes import emitted_module
from runtime.training.data import Splits
from runtime.training.fitting import with_remedies
from runtime.training.items import Batch
from runtime.training.learner import Task
from runtime.training.shared_loss import CLOSE, CLOSE_IN_BF16, is_mean_of_parts, reads_as_mean
from runtime.training.shares import ALL, Shares, rest
from spec_schema.diagnostics import SpecError, refuse
from spec_schema.source import Span

ACCELERATORS = {"cuda": "gpu"}
"""Lightning's names of devices where they are not torch's."""


def several_devices(names: Sequence[str], verb: str, place: Span, label: str = "") -> SpecError:
    """Return the refusal of a model on several devices: the trainer would put it all on one of them."""
    return refuse(
        "several-devices",
        f"a model is {verb} on one device, and this one is on {' and '.join(names)}",
        place,
        label=label,
        help=f"choose one with `--device`, such as `--device {names[0]}`",
    )


def on_device(device: torch.device, shares: Shares = ALL) -> dict[str, Any]:
    """Return the arguments of a Trainer that works on a device, of one rank or of a process alone."""
    found: dict[str, Any] = {
        "accelerator": ACCELERATORS.get(device.type, device.type),
        "devices": 1 if device.index is None else [device.index],
    }
    if shares.on_mesh:
        from runtime.training.strategy import RankStrategy

        found |= {"strategy": RankStrategy(device, shares), "use_distributed_sampler": False}
    return found


def make_task(
    artifact: Artifact,
    training: Training,
    model: nn.Module,
    splits: Splits | None,
    device: torch.device,
    seed: int = 0,
    run: Mapping[str, Any] | None = None,
    loaders: Mapping[str, Any] | None = None,
    shares: Shares = ALL,
) -> Task:
    """Return the task of a model on a device, with `splits` of its data or with `loaders` of the caller.

    Raises:
        SpecError: the model, the loss or a metric refuses a batch of the data.
    """
    if splits is None:
        batch = _first_batch(loaders or {}, training)
    else:
        batch = splits.train[splits.train.in_order()[: -(-training.batch // shares.count)]]
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    with _as_trained(training, device, shares):
        context = _rehearse(artifact, training, model, batch)
    objectives = [training.loss, *(measure.of for measure in training.metrics)]
    source = ast.unparse(objective_functions(objectives, artifact.program.scope, context))
    module = emitted_module(source, artifact)
    functions: dict[str, Callable[..., Any]] = {o.title: getattr(module, o.title) for o in objectives}
    names = input_names(artifact)
    task = Task(model, names, training, functions, splits, seed, run or {}, loaders or {}, shares)
    if shares.count == 1:
        return task
    with _as_trained(training, device, shares):
        return replace(task, is_mean=_takes_a_mean(task, batch))


def _as_trained(training: Training, device: torch.device, shares: Shares) -> AbstractContextManager[object]:
    """Return what a rank computes in, whose parameters are gathered in the dtype of the training."""
    mixed = shares.on_mesh and training.precision != PRECISIONS[0]
    return torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()


def _takes_a_mean(task: Task, batch: Batch) -> bool:
    """Return whether the loss of a batch is that of its parts together, however many examples of which kind they have.

    All ranks look at the same batch, and so come to the same end.
    """
    loss, model = task.training.loss, task.model

    def loss_of(part: Batch) -> torch.Tensor:
        found: torch.Tensor = task.compute(loss, model(*(part[name] for name in task.inputs)), part)
        return found

    model.eval()
    with torch.no_grad():
        close = CLOSE if task.training.precision == PRECISIONS[0] else CLOSE_IN_BF16
        found = reads_as_mean(loss) and is_mean_of_parts(loss_of, batch, close)
    model.train()
    rest(model)
    return found


def _first_batch(loaders: Mapping[str, Any], training: Training) -> Batch:
    """Return the first batch that is trained on. ValueError if the caller's loaders give none of the fields."""
    unknown = loaders.keys() - {"train", "validation", "test"}
    if unknown or "train" not in loaders:
        raise ValueError(f"loaders are those of `train`, `validation` and `test`, not {sorted(loaders)}")
    batch = next(iter(loaders["train"]))
    if not isinstance(batch, Mapping) or not batch.keys() >= training.data.fields.keys():
        raise ValueError(f"a batch is a mapping with the fields {', '.join(training.data.fields)}")
    return batch


def input_names(artifact: Artifact) -> tuple[str, ...]:
    """Return the fields of a batch that the model takes, in the order of its `forward`."""
    return tuple(entry.name for entry in artifact.program.model.inputs)


def _rehearse(artifact: Artifact, training: Training, model: nn.Module, batch: Batch) -> Context:
    """Compute everything once, so that what does not fit is found, and located, at the start."""
    context, scope = artifact.inferred.context(), artifact.program.scope
    was_training = model.training
    model.eval()
    with torch.no_grad():
        values = {OUTPUT: output_of(model, input_names(artifact), batch, training.data.span), **batch}
        with with_remedies(training.loss, values):
            check_scalar(training.loss, try_objective(context, training.loss, scope, values)[0])
        for measure in training.metrics:
            _try_metric(measure, try_objective(context, measure.of, scope, values))
    model.train(was_training)
    rest(model)
    return context


def output_of(model: nn.Module, names: tuple[str, ...], batch: Batch, place: Span | None) -> Any:
    """Return what the model makes of a batch, or refuse one that it cannot take."""
    inputs = {name: batch[name] for name in names}
    try:
        return model(*inputs.values())
    except TORCH_ERRORS as error:
        raise refuse(
            "model-failed",
            f"the model refuses a batch of the data: {reason(error)}",
            place,
            notes=tuple(f"`{name}` is {form(tensor)}" for name, tensor in inputs.items()),
        ) from None


def _try_metric(measure: Measure, compared: list[Any]) -> None:
    try:
        metric = make_metric(measure.making)
        device = compared[0].device if isinstance(compared[0], torch.Tensor) else None
        metric.to(device).update(*compared)
    except TORCH_ERRORS as error:
        raise refuse(
            "metric-failed",
            f"`{measure.making.name}` refuses what it compares: {reason(error)}",
            measure.making.span,
            notes=tuple(
                f"`{each}` is {form(value)}" for each, value in zip(measure.of.sources, compared, strict=True)
            ),
            help="say what it compares: `{metric: ..., of: [output, label]}`",
        ) from None


def form(value: Any) -> str:
    """Return the dtype and the shape of a tensor, or the type of something else."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
