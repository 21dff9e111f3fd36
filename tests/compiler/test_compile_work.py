"""What is alike is looked at once: counted in calls, which are the same on a fast computer and on a slow one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import compiler
from compiler.infer import made
from compiler.infer.on_meta import meta_device, undrawn
from compiler.rules import apply, dry_run

SPEC = """
spec: 1
inputs: {x: "float[2, 8]"}
blocks:
  Block:
    layers: {norm: LayerNorm, up: Linear(40), drop: Dropout(0.1), down: Linear(8)}
    forward: return x + down(drop(relu(up(norm(x)))))
model:
  layers: {blocks: {repeat: COUNT, of: Block}, head: Linear(3)}
  forward: return head(blocks(x))
"""


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, *names: str) -> Iterator[Counter[str]]:
    """Count the calls of some functions."""
    calls: Counter[str] = Counter()
    with monkeypatch.context() as patch:
        for name in names:
            original = getattr(owner, name)

            def function(*args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
                calls[_name] += 1
                return _original(*args, **kwargs)

            patch.setattr(owner, name, function)
        yield calls


def compiled(count: int) -> None:
    made.forget()
    compiler.compile_text(SPEC.replace("COUNT", str(count)))


def test_a_block_is_inferred_once_however_often_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch, nn.Linear, "reset_parameters") as few:
        compiled(2)
    with counted(monkeypatch, nn.Linear, "reset_parameters") as many:
        compiled(1000)
    assert few == many
    assert many["reset_parameters"] == 3


def test_default_rules_are_tried_once_for_tensors_of_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch, dry_run, "check_initialisation") as first:
        compiled(1000)
    assert first["check_initialisation"] <= 8
    with counted(monkeypatch, dry_run, "check_initialisation") as again:
        compiled(1000)
    assert not again


def test_rules_of_a_spec_are_tried_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch, apply, "check_initialisation") as calls:
        compiled(3)
    assert not calls  # of the spec there are no rules
    plain = compiler.compile_text(SPEC.replace("COUNT", "3") + "init: [Linear.weight: zeros]\n")
    with counted(monkeypatch, apply, "check_initialisation") as calls:
        compiler.compile_text(SPEC.replace("COUNT", "3") + "init: [Linear.weight: zeros]\n")
    assert calls["check_initialisation"] == 3  # one for each shape of a weight
    assert len(plain.plan.rows) == 3 * 6 + 2


def test_first_values_are_left_out_where_there_are_none() -> None:
    with meta_device(torch.float32), undrawn(), counted_draws() as calls:
        layer = nn.Linear(3, 4)
    assert not calls
    assert layer.weight.is_meta
    with meta_device(torch.float32), counted_draws() as calls:
        nn.Linear(3, 4)
    assert calls


def test_a_tensor_that_has_values_gets_them_all_the_same() -> None:
    with meta_device(torch.float32), undrawn():
        looked_into = nn.init.constant_(torch.full((3,), 7.0, device="cpu"), 2.0)
    assert looked_into.tolist() == [2.0, 2.0, 2.0]


@contextmanager
def counted_draws() -> Iterator[list[str]]:
    from torch.utils._python_dispatch import TorchDispatchMode

    calls: list[str] = []

    class Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if torch.Tag.nondeterministic_seeded in func.tags:
                calls.append(str(func))
            return func(*args, **(kwargs or {}))

    with Draws():  # type: ignore[no-untyped-call]
        yield calls
