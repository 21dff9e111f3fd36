"""`specs/shapes.yaml` by hand: the best epoch is kept, and nothing better for some epochs is the end."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.jobs.plain import Batch, Course, Data, Keep, nowhere


class Stage(nn.Module):
    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


class Shapes(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width]
        self.stages = nn.Sequential(*map(Stage, widths, widths[1:]))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(9 * widths[-1], 3)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.dropout(self.stages(image).flatten(1)))
        return out


def train(model: nn.Module, data: Data, epochs: int, patience: int, keep: Keep = nowhere) -> Course:
    """Train until nothing gets better."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.05)
    course, lowest, waited, best = Course(), float("inf"), 0, model.state_dict()
    for epoch in range(epochs):
        model.train()
        for batch in data.train(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch["image"]), batch["label"], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            course.losses.append(loss.detach())
        found = evaluate(model, data.validation)
        course.epochs.append({f"validation_{name}": value for name, value in found.items()})
        keep("last", epoch, model=model, optimizer=optimizer)
        waited += 1
        if found["loss"] < lowest:
            lowest, waited, course.best, best = found["loss"], 0, epoch + 1, deepcopy(model.state_dict())
            keep("best", epoch, model=model, optimizer=optimizer)
        if waited >= patience:
            break
    model.load_state_dict(best)
    course.model = model
    return course


def evaluate(model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the loss and the accuracy over some batches."""
    model.eval()
    total, right, count = 0.0, 0, 0
    with torch.no_grad():
        for batch in batches:
            output, label = model(batch["image"]), batch["label"]
            total += float(F.cross_entropy(output, label, label_smoothing=0.05)) * len(label)
            right += int((output.argmax(1) == label).sum())
            count += len(label)
    return {"loss": total / count, "accuracy": right / count}
