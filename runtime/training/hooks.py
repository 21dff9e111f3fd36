"""Hooks of Lightning that cost nothing where nothing is done in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pytorch_lightning import Callback, LightningModule

Function = TypeVar("Function", bound=Callable[..., Any])

IN_TRAINING = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
IN_EVALUATION = (
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_test_batch_start",
    "on_test_batch_end",
)


def without_idle_hooks(learner: LightningModule, callbacks: Iterable[Callback]) -> None:
    """Take away the hooks of a batch that are Lightning's own, and empty: it skips what cannot be called.

    Of a learner it looks at the signature of those in an evaluation, so that they stay.
    """
    _take_away(learner, LightningModule, IN_TRAINING)
    for callback in callbacks:
        _take_away(callback, Callback, IN_TRAINING + IN_EVALUATION)


def _take_away(hooked: object, base: type, names: Iterable[str]) -> None:
    for name in names:
        if getattr(type(hooked), name) is getattr(base, name):
            setattr(hooked, name, None)


def signed(step: Function) -> Function:
    """Keep the signature of a step with it: Lightning asks for it at each batch, and finding out takes its time."""
    step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]
    return step
