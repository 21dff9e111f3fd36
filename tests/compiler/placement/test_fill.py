"""`auto` on several accelerators: a function of the plan and of the memory there is, tried with made-up memories."""

from __future__ import annotations

import pytest

import compiler
from compiler.placement.fill import fill
from compiler.rules.plan import Plan

SPEC = """
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Block:
    - Linear(8, bias=False)
    - Linear(8, bias=False)
model:
  layers:
    start: Linear(8, bias=False)
    h: {repeat: 4, of: Block}
    end: Linear(8, bias=False)
  forward: |
    return end(h(start(x)))
"""
LAYER = 8 * 8 * 4
"""Bytes of one layer; the model has ten of them, in the order start, h.0.0, h.0.1, h.1.0, ..., end."""


def plan(more: str = "") -> Plan:
    return compiler.compile_text(SPEC + more).plan


def filled(rooms: list[float], more: str = "") -> str | None:
    """Return the number of the device of each layer, in the order of the program."""
    model = plan(more)
    found = fill(model, [(str(at), room * LAYER) for at, room in enumerate(rooms)])
    return None if found is None else "".join(found[row.name] for row in model.table.tensors)


@pytest.mark.parametrize(
    ("rooms", "devices"),
    [
        ([10, 10], "0" * 10),
        ([100], "0" * 10),
        ([9, 9], "0" * 9 + "1"),
        ([5, 5], "0000011111"),
        ([6, 6], "0000011111"),  # h.2 is kept whole, although there is room for half of it
        ([4, 9], "0111111111"),  # h is kept whole
        ([3, 3, 3, 3], "0001122333"),
        ([4, 6], "0000111111"),  # it goes only with h.1 on two devices
        ([1, 9], "0111111111"),
        ([0.5, 10], "1" * 10),
        ([5, 4], None),
        ([0.5, 0.5, 0.5], None),
        ([float("inf"), 1], "0" * 10),
    ],
)
def test_devices_are_filled_in_turn(rooms: list[float], devices: str | None) -> None:
    assert filled(rooms) == devices


def test_a_tie_stays_together_where_it_is_first_and_counts_once() -> None:
    tie = "share: {tie: [start.weight, end.weight]}\n"
    assert filled([5, 4], tie) == "0000011110"
    found = fill(plan(tie), [("0", 5 * LAYER), ("1", 4 * LAYER)])
    assert found is not None
    assert found["start.weight"] == found["end.weight"] == "0"


def test_what_has_a_device_stays_there() -> None:
    found = fill(plan("placement: [{h.0: cpu}]\n"), [("0", 3 * LAYER), ("1", 5 * LAYER)])
    assert found is not None
    assert not any(name.startswith("h.0.") for name in found)
    assert "".join(found.values()) == "00011111"


def test_layers_that_share_any_tensor_stay_together() -> None:
    text = SPEC.replace("start: Linear(8, bias=False)", "start: Linear(8)").replace(
        "end: Linear(8, bias=False)", "end: Linear(8)"
    )
    model = compiler.compile_text(text + "share: {tie: [start.bias, end.bias]}\n").plan
    found = fill(model, [("0", 5 * LAYER), ("1", 9 * LAYER)])
    assert found is not None
    assert {name: device for name, device in found.items() if not name.startswith("h.")} == dict.fromkeys(
        ["start.weight", "start.bias", "end.weight", "end.bias"], "0"
    )
    assert found["h.3.1.weight"] == "1"
