"""`specs/fine_tuned.yaml` by hand: two rates, and the average of the parameters that torch's own class keeps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.jobs.plain import Batch, Course, Data, Keep, nowhere


class Stage(nn.Module):
    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)


class Body(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stage1 = Stage(1, width)
        self.stage2 = Stage(width, 2 * width)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.stage2(self.stage1(image)).flatten(1)
        return out


class FineTuned(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = Body(width)
        self.head = nn.Linear(8 * width, 10)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(image))
        return out


def train(model: FineTuned, data: Data, epochs: int, keep: Keep = nowhere) -> Course:
    """Train for some epochs, and return the average."""
    groups = [{"params": model.body.parameters(), "lr": 0.001}, {"params": model.head.parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.05)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95), use_buffers=True)
    course = Course(model=average.module)
    for epoch in range(epochs):
        model.train()
        for batch in data.train(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch["image"]), batch["label"])
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
            course.losses.append(loss.detach())
        found = evaluate(average, data.validation)
        course.epochs.append({f"validation_{name}": value for name, value in found.items()})
        keep("last", epoch, model=model, optimizer=optimizer, average=average)
    return course


def evaluate(model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the loss and the accuracy over some batches."""
    model.eval()
    total, right, count = 0.0, 0, 0
    with torch.no_grad():
        for batch in batches:
            output, label = model(batch["image"]), batch["label"]
            total += float(F.cross_entropy(output, label)) * len(label)
            right += int((output.argmax(1) == label).sum())
            count += len(label)
    return {"loss": total / count, "accuracy": right / count}
