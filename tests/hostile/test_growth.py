"""A spec twice as large takes twice the work, counted in lines of the compiler that run: no clock is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import compiler

OURS = tuple(str(Path(compiler.__file__).parents[1] / name) for name in ("compiler", "spec_schema"))
HEAD = 'spec: 1\ninputs: {x: "float[batch, 8]"}\n'
BLOCK = "  B:\n    layers: {a: Linear(8), b: LayerNorm}\n    forward: return b(a(x)) + x\n"


def lines(count: int, line: str) -> str:
    """Return a line for each number below `count`, with `#` standing for the number."""
    return "".join(line.replace("#", str(number)) + "\n" for number in range(count))


def each_layer(count: int, section: str, rule: str) -> str:
    return f"{HEAD}model: [{{repeat: {count}, of: Linear(8)}}]\n{section}:\n{lines(count, f'  - {rule}')}"


def copies(count: int, more: str = "", in_block: str = "") -> str:
    return f"{HEAD}blocks:\n{BLOCK}{in_block}model: [{{repeat: {count}, of: B}}, Linear(8)]\n{more}"


SPECS: dict[str, Callable[[int], str]] = {
    "copies": copies,
    "copies that differ": lambda n: HEAD + f"model: [{{repeat: {n}, of: Linear(index + 1)}}]\n",
    "repeats in repeats": lambda n: (
        HEAD + f"model: [{{repeat: 2, of: {{repeat: {n}, of: [Linear(8), {{repeat: 2, of: ReLU}}]}}}}]\n"
    ),
    "rules of a block": lambda n: copies(
        n, in_block="    init: [a.weight: zeros]\n    freeze: [b]\n    share: {s: [a.bias, b.bias]}\n"
    ),
    "rules of the model": lambda n: copies(
        n, "init: ['*.a.weight': zeros]\nfreeze: ['**.b']\nplacement: ['**': cpu]\n"
    ),
    "copies that share": lambda n: copies(n, "share: {s: ['*.a']}\n"),
    "a rule for each copy": lambda n: HEAD + f"model:\n{lines(n, '  - Linear(8)')}",
    "an init rule for each layer": lambda n: each_layer(n, "init", "'#.bias': zeros"),
    "a freeze rule for each layer": lambda n: each_layer(n, "freeze", "'#.bias'"),
    "a placement rule for each layer": lambda n: each_layer(n, "placement", "'#': 'cpu'"),
    "a parametrize rule for each layer": lambda n: each_layer(n, "parametrize", "'#.weight': weight_norm"),
    "updates": lambda n: (
        HEAD
        + 'model:\n  buffers: {m: {value: "zeros([8])", updated: true}}\n  forward: |\n'
        + f"{lines(n, '    m = m + x.mean(0)')}    return x + m\n"
    ),
    "a long list": lambda n: HEAD + f"model:\n{lines(n, '  - Linear(8)')}",
    "a list of names": lambda n: HEAD + f"model:\n{lines(n, '  - n#: Linear(8)')}",
    "a list that reuses": lambda n: HEAD + f"model:\n  - n: Linear(8)\n{lines(n, '  - n')}",
    "layers in parallel": lambda n: (
        HEAD + f"model:\n  - parallel:\n{lines(n, '    - Linear(8)')}    combine: add\n"
    ),
    "blocks": lambda n: HEAD + f"blocks:\n{lines(n, '  B#: [Linear(8), ReLU]')}model:\n{lines(n, '  - B#')}",
    "variables": lambda n: HEAD + f"vars:\n{lines(n, '  v#: 2 + 2')}model: [Linear(8)]\n",
    "statements": lambda n: (
        HEAD
        + f"model:\n  layers: {{a: Linear(8)}}\n  forward: |\n{lines(n, '    x = a(x) + 1')}    return x\n"
    ),
    "parameters": lambda n: (
        HEAD
        + "model:\n  parameters:\n"
        + lines(n, '    p#: {tensor: "float[8]", init: zeros}')
        + "  forward: return x + p0\n"
    ),
    "keys that are not known": lambda n: HEAD + lines(n, "colour#: 1") + "model: [ReLU]\n",
    "layers that are not known": lambda n: HEAD + f"model:\n{lines(n, '  - Linaer(8)')}",
    "brackets that are open": lambda n: HEAD + f"model:\n{lines(n, '  - Linear(8')}",
    "errors of shape": lambda n: HEAD + f"model:\n  layers:\n{lines(n, '    l#: Linear(8, 9, 10)')}",
}


def work(text: str) -> int:
    """Return how many lines of the compiler run for a spec."""
    count, before = 0, sys.gettrace()

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(OURS) else None

    sys.settrace(call)
    try:
        with suppress(compiler.SpecError):  # a refusal is work, too
            compiler.compile_text(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", SPECS)
def test_twice_as_large_is_twice_the_work(name: str) -> None:
    make = SPECS[name]
    work(make(3))  # what is done once: torch is imported, tables are filled
    none, few, many = (work(make(n)) for n in (4, 54, 104))
    assert many - few < 1.25 * (few - none)
