"""`specs/houses.yaml` by hand: two inputs, and a rate that falls by a cosine from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.jobs.plain import Batch, Course, Data, Keep, nowhere


class Houses(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(4, affine=False)
        self.place = nn.Embedding(6, 8)
        widths = [12, *[width] * depth]
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.LayerNorm(after), nn.GELU())
                for before, after in pairwise(widths)
            )
        )
        self.out = nn.Linear(width, 1)

    def forward(self, numbers: Tensor, district: Tensor) -> Tensor:
        known = torch.cat([self.scale(numbers), self.place(district)], dim=1)
        out: Tensor = self.out(self.hidden(known)).squeeze(1)
        return out


def train(model: nn.Module, data: Data, epochs: int, keep: Keep = nowhere) -> Course:
    """Train for some epochs."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    course = Course(model=model)
    for epoch in range(epochs):
        model.train()
        for batch in data.train(epoch):
            optimizer.zero_grad()
            loss = F.huber_loss(model(batch["numbers"], batch["district"]), batch["price"] / 100)
            loss.backward()
            optimizer.step()
            course.losses.append(loss.detach())
        schedule.step()
        found = evaluate(model, data.validation)
        course.epochs.append({f"validation_{name}": value for name, value in found.items()})
        keep("last", epoch, model=model, optimizer=optimizer, schedule=schedule)
    return course


def evaluate(model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the loss and the mean absolute error over some batches."""
    model.eval()
    total, error, count = 0.0, 0.0, 0
    with torch.no_grad():
        for batch in batches:
            output, price = model(batch["numbers"], batch["district"]), batch["price"]
            total += float(F.huber_loss(output, price / 100)) * len(price)
            error += float((100 * output - price).abs().sum())
            count += len(price)
    return {"loss": total / count, "mean_error": error / count}
