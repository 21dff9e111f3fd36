"""`specs/pumps.yaml` by hand: what is chosen is the epoch with the best F1 score over rare classes."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.jobs.plain import Batch, Course, Data, Keep, nowhere

CLASSES = 3


class Stage(nn.Module):
    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, channels, 5, padding=2)
        self.norm = nn.GroupNorm(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool1d(F.relu(self.norm(self.conv(x))), 2)


class Pumps(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 4 * width]
        self.stages = nn.Sequential(*map(Stage, widths, widths[1:]))
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, signal: Tensor) -> Tensor:
        out: Tensor = self.head(self.dropout(self.stages(signal).mean(2)))
        return out


def train(model: nn.Module, data: Data, epochs: int, keep: Keep = nowhere) -> Course:
    """Train for some epochs, and return to the best."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.01)
    course, highest, best = Course(model=model), -1.0, model.state_dict()
    for epoch in range(epochs):
        model.train()
        for batch in data.train(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch["signal"]), batch["state"])
            loss.backward()
            optimizer.step()
            course.losses.append(loss.detach())
        found = evaluate(model, data.validation)
        course.epochs.append({f"validation_{name}": value for name, value in found.items()})
        keep("last", epoch, model=model, optimizer=optimizer)
        if found["f1"] > highest:
            highest, course.best, best = found["f1"], epoch + 1, deepcopy(model.state_dict())
            keep("best", epoch, model=model, optimizer=optimizer)
    model.load_state_dict(best)
    return course


def evaluate(model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the loss, and the means over the classes of recall and F1."""
    model.eval()
    total, count = 0.0, 0
    confusion = torch.zeros(CLASSES, CLASSES)
    with torch.no_grad():
        for batch in batches:
            output, state = model(batch["signal"]), batch["state"]
            total += float(F.cross_entropy(output, state)) * len(state)
            count += len(state)
            pairs = CLASSES * state + output.argmax(1)
            confusion += torch.bincount(pairs, minlength=CLASSES**2).view(CLASSES, CLASSES)
    right, there, said = confusion.diag(), confusion.sum(1), confusion.sum(0)
    f1 = 2 * right / (there + said)
    return {"loss": total / count, "recall": float((right / there).mean()), "f1": float(f1.mean())}
