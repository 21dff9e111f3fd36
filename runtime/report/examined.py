"""What a trained model makes of the examples that were held back, one by one: predictions, and the hardest of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytorch_lightning as L
import torch
from torch import Tensor

from compiler.infer.calls import TORCH_ERRORS
from compiler.training.objective import OUTPUT, Objective
from runtime.training.items import Batch
from runtime.training.learner import Learner, Task
from runtime.training.log import quiet
from runtime.training.task import on_device

MOST = 5_000
"""How many examples are looked at."""
HARDEST = 12
MOST_NUMBERS = 16
"""Numbers that an example may have to be drawn as predicted against true."""
THRESHOLDS = {"binary_cross_entropy_with_logits": 0.0, "binary_cross_entropy": 0.5}
"""From which value on an output means the class 1, by the loss."""
SPLITS = ("test", "validation", "train")
RESHAPING = frozenset({"squeeze", "flatten", "reshape", "view", "unsqueeze"})
"""Methods after which the numbers of an output are still the same."""

Kind = Literal["classes", "numbers"]


@dataclass(frozen=True)
class Example:
    """One of the hardest examples; `place` is its number in the split, from 0."""

    place: int
    loss: float
    fields: Mapping[str, Tensor]
    told: tuple[Tensor, Tensor] | None
    """What is predicted and what is true: a class, or numbers."""


@dataclass
class Examined:
    """What was found in a split. Of `predicted` and `true`, there is a row for each example."""

    split: str
    count: int = 0
    total: int | None = None
    """How many examples the split has, if that is known."""
    kind: Kind | None = None
    classes: int = 0
    predicted: list[Tensor] = field(default_factory=list)
    true: list[Tensor] = field(default_factory=list)
    hardest: list[Example] = field(default_factory=list)


def examine(learner: Learner, device: torch.device, precision: Any) -> Examined:
    """Run a trained model on examples that were held back, or else on those that it was trained on."""
    task = learner.task
    split = next(name for name in SPLITS if task.has(name))
    size = -(-task.training.batch // task.shares.count)
    examiner = Examiner(task, split)
    with torch.random.fork_rng(), quiet():
        trainer = L.Trainer(
            **on_device(device, task.shares),
            precision=precision,
            limit_predict_batches=max(MOST // size, 1),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.predict(examiner, learner.batches(split, size), return_predictions=False)
    items = task.items(split)
    examiner.found.total = None if items is None else len(items)
    return examiner.found


class Examiner(L.LightningModule):
    """Keeps of each batch what the report shows."""

    def __init__(self, task: Task, split: str) -> None:
        super().__init__()
        self.model = task.model
        self.task = task
        self.compares = _compares(task.training.loss)
        self.found = Examined(split)

    def predict_step(self, batch: Batch, index: int) -> int:
        """Look at a batch; Lightning wants to be given something for it."""
        task, found = self.task, self.found
        batch = {name: batch[name] for name in task.training.data.fields}
        output = self.model(*(batch[name] for name in task.inputs))
        count = len(batch[task.inputs[0]])
        told = self._told(output, batch, count)
        if told is not None:
            found.predicted.append(told[0])
            found.true.append(told[1])
        losses = _losses(task, output, batch, count)
        if losses is not None:
            self._keep(losses, batch, told)
        found.count += count
        return count

    def _keep(self, losses: Tensor, batch: Batch, told: tuple[Tensor, Tensor] | None) -> None:
        """Keep the examples with the largest losses, of which NaN is the largest."""
        order = torch.nan_to_num(losses, nan=torch.inf).argsort(descending=True, stable=True)[:HARDEST]
        examples = [
            Example(
                self.found.count + at,
                float(losses[at]),
                {name: tensor[at].clone().cpu() for name, tensor in batch.items()},
                None if told is None else (told[0][at], told[1][at]),
            )
            for at in order.tolist()
        ]
        kept = [*self.found.hardest, *examples]
        kept.sort(key=lambda each: -each.loss if each.loss == each.loss else -torch.inf)
        self.found.hardest = kept[:HARDEST]

    def _told(self, output: Any, batch: Batch, count: int) -> tuple[Tensor, Tensor] | None:
        """Return what is predicted and what is true of each example, None where that cannot be told."""
        compared = self._compared(output, batch)
        if compared is None or not all(isinstance(each, Tensor) and len(each) == count for each in compared):
            return None
        predicted, true = compared
        if not predicted.is_floating_point():
            return None
        if predicted.ndim == 2 and true.ndim == 1 and predicted.shape[1] > 1 and not _fractional(true):
            return self._classes(predicted.argmax(1), true, predicted.shape[1])
        if predicted.numel() != true.numel() or predicted.numel() > MOST_NUMBERS * count:
            return None
        predicted, true = predicted.reshape(count, -1), true.reshape(count, -1)
        threshold = THRESHOLDS.get(self.compares or "")
        if threshold is not None and predicted.shape[1] == 1:
            return self._classes(predicted[:, 0] > threshold, true[:, 0] > 0.5, 2)
        self.found.kind = "numbers"
        return predicted.float().cpu(), true.float().cpu()

    def _classes(self, predicted: Tensor, true: Tensor, count: int) -> tuple[Tensor, Tensor]:
        self.found.kind, self.found.classes = "classes", count
        return predicted.long().cpu(), true.long().cpu()

    def _compared(self, output: Any, batch: Batch) -> tuple[Any, Any] | None:
        """Return the output and the target if the loss compares them as they are, else what the first metric does."""
        task = self.task
        measure = next((each for each in task.training.metrics if len(each.of.sources) == 2), None)
        if self.compares is None and measure is not None:
            first, second = task.compute(measure.of, output, batch)
            return first, second
        return (output, batch[task.training.loss.fields[-1]]) if self.compares is not None else None


def _compares(loss: Objective) -> str | None:
    """Return the operation by which a loss compares the output with its last field, None if it changes them before."""
    nodes = [node for source in loss.sources for root in source.roots for node in ast.walk(root)]
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, second, *_]):
                pair = first, second
            case ast.BinOp(left=first, op=ast.Sub() as sign, right=second):
                pair, name = (first, second), type(sign).__name__
            case _:
                continue
        if loss.fields and {_named(each) for each in pair} == {OUTPUT, loss.fields[-1]}:
            return name
    return None


def _named(node: ast.expr) -> str | None:
    """Return the name of a value that is taken as it is, but for its shape."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in RESHAPING:
            return _named(inner)
    return None


def _fractional(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _losses(task: Task, output: Any, batch: Batch, count: int) -> Tensor | None:
    """Return the loss of each example by itself, None where there is no such thing."""
    loss = task.training.loss
    try:
        found = [
            task.compute(loss, _one(output, at, count), {name: t[at : at + 1] for name, t in batch.items()})
            for at in range(count)
        ]
    except TORCH_ERRORS:
        return None
    return torch.stack(found).float().cpu()


def _one(value: Any, at: int, count: int) -> Any:
    """Return the part of an output that is of one example."""
    match value:
        case Tensor() if value.ndim and len(value) == count:
            return value[at : at + 1]
        case dict():
            return {key: _one(part, at, count) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_one(part, at, count) for part in value)
    return value
