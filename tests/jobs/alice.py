"""`specs/alice.yaml` by hand: decay for matrices alone, a rate that rises and falls, steps of several batches."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, exp, pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tests.jobs.llama import Llama
from tests.jobs.plain import Batch, Course, Data, Keep, nowhere

RATE, LOWEST = 0.004, 1e-4
ACCUMULATE = 4


def train(model: Llama, data: Data, epochs: int, warmup: int, batches: int, keep: Keep = nowhere) -> Course:
    """Train for some epochs of so many batches."""
    optimizer = torch.optim.AdamW(groups_of(model), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    falling = epochs * -(-batches // ACCUMULATE) - warmup
    schedule = LambdaLR(optimizer, lambda step: share(step, warmup, falling))
    course = Course(model=model)
    for epoch in range(epochs):
        model.train()
        parts: list[Tensor] = []
        for number, batch in enumerate(data.train(epoch), 1):
            loss = F.cross_entropy(model(batch["tokens"]).flatten(0, 1), batch["target"].flatten())
            (loss / ACCUMULATE).backward()
            parts.append(loss.detach())
            if number % ACCUMULATE and number < batches:
                continue
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            course.losses.append(torch.stack(parts).mean())
            parts.clear()
        course.epochs.append(evaluate(model, data.test))
        keep("last", epoch, model=model, optimizer=optimizer, schedule=schedule)
    return course


def groups_of(model: Llama) -> list[dict[str, object]]:
    """Return matrices, and what is not decayed: scales of norms, and the table of characters."""
    table = model.model.embed_tokens.weight
    still = [each for each in model.parameters() if each.ndim < 2 or each is table]
    rest = [each for each in model.parameters() if each.ndim == 2 and each is not table]
    return [{"params": rest}, {"params": still, "weight_decay": 0.0}]


def share(step: int, warmup: int, falling: int) -> float:
    """Return what part of the rate a step has."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (LOWEST + (RATE - LOWEST) * (1 + cos(pi * (step - warmup) / falling)) / 2) / RATE


def evaluate(model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the loss and the perplexity over some batches."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            output, target = model(batch["tokens"]).flatten(0, 1), batch["target"].flatten()
            total += float(F.cross_entropy(output, target)) * len(target)
            count += len(target)
    return {"test_loss": total / count, "perplexity": exp(total / count)}
