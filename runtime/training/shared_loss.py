"""The loss of a whole batch, of which each rank has a part."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from compiler.training.objective import Objective
from runtime.training.items import Batch
from runtime.training.shares import Gathered, Shares
from spec_schema.diagnostics import SpecError, refuse

MEANS = frozenset(
    "binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy gaussian_nll_loss "
    "hinge_embedding_loss huber_loss l1_loss margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss "
    "multilabel_soft_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss".split()
)
"""Losses of torch that are means over what they compare, unless they are told otherwise ..."""
OTHERWISE = frozenset({"weight", "reduction", "size_average", "reduce", "ignore_index"})
"""... by one of these arguments."""
CLOSE, CLOSE_IN_BF16 = 1e-3, 2e-2

Compute = Callable[[Any, Mapping[str, Any]], Tensor]


def reads_as_mean(objective: Objective) -> bool:
    """Return whether a loss is written as a mean of torch, or as a sum or a multiple of such."""
    roots = [root for source in objective.sources for root in source.roots]
    return len(roots) == 1 and _is_mean(roots[0])


def _is_mean(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=inner) | ast.Return(value=inner) if inner is not None:
            return _is_mean(inner)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return _is_mean(left) and _is_mean(right)
        case ast.BinOp(left=one, op=ast.Mult() | ast.Div(), right=ast.Constant()):
            return _is_mean(one)
        case ast.BinOp(left=ast.Constant(), op=ast.Mult(), right=one):
            return _is_mean(one)
        case ast.Call(func=ast.Name(id=name), keywords=keywords):
            return name in MEANS and not OTHERWISE & {each.arg for each in keywords}
    return False


def is_mean_of_parts(loss_of: Callable[[Batch], Tensor], batch: Batch, close: float = CLOSE) -> bool:
    """Return whether the loss of a batch is the mean over its items, as far as one batch tells."""
    count = len(next(iter(batch.values())))
    at = max(1, count // 3)
    parts = [{name: each[part] for name, each in batch.items()} for part in (slice(at), slice(at, None))]
    if at == count:
        return False
    found = loss_of(parts[0]) * (at / count) + loss_of(parts[1]) * (1 - at / count)
    return torch.allclose(found.double(), loss_of(batch).double(), rtol=close, atol=1e-6)


class SharedLoss:
    """Gives, on each rank, the loss of the whole batch, and what the rank's gradients come from."""

    def __init__(self, compute: Compute, objective: Objective, shares: Shares, is_mean: bool) -> None:
        self.compute, self.objective, self.shares, self.is_mean = compute, objective, shares, is_mean

    def __call__(self, output: Any, batch: Batch, total: int) -> tuple[Tensor, Tensor]:
        """Return what gradients come from, which are averaged over the shares, and the loss of all `total` items.

        A mean is taken part by part. For any other loss the outputs of all ranks are brought together.
        """
        shares = self.shares
        if shares.count == 1:
            loss = self.compute(output, batch)
            return loss, loss
        if self.is_mean and not self._leaves_out(batch):
            part = self.compute(output, batch) * (shares.size(total) / total)
            return part * shares.count, shares.sum(part)
        whole = {name: self._gathered(batch[name], total) for name in self.objective.fields}
        loss = self.compute(self._gathered(output, total), whole)
        return loss * shares.count, loss.detach()

    def _leaves_out(self, batch: Batch) -> bool:
        """Return whether a rank has targets that torch leaves out of a mean, as it does with negative classes."""
        classes = [batch[name] for name in self.objective.fields if not batch[name].is_floating_point()]
        return bool(classes) and self.shares.any(torch.stack([each.lt(0).any() for each in classes]))

    def _gathered(self, value: Any, total: int) -> Any:
        match value:
            case Tensor() if value.ndim and len(value) == max(1, self.shares.size(total)):
                found: Tensor = Gathered.apply(value, self.shares, total)  # type: ignore[no-untyped-call]
                return found
            case dict():
                return {key: self._gathered(part, total) for key, part in value.items()}
            case list() | tuple():
                return type(value)(self._gathered(part, total) for part in value)
        raise self._not_by_item()

    def _not_by_item(self) -> SpecError:
        return refuse(
            "mesh-training",
            "the loss is no mean over the examples of a batch, and the output has no dimension for them",
            self.objective.place,
            notes=(f"there are {self.shares.count} shares of each batch",),
            help="return one value or row for each example, or take a mean of torch: `cross_entropy(output, label)`",
        )
