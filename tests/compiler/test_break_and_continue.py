"""`break` and `continue` end a loop, or a turn of it, as in Python: decided when compiled, or by data."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import compiler
import runtime
from tests.emitted_file import run_file

HEAD = """
spec: 1
name: loops
vars: {most: 2}
inputs: {x: "float32[batch, 4]"}
model:
  layers: {h: {repeat: 4, of: Linear(4)}}
  forward: |
"""
LAYERS = list[torch.nn.Module]


def spec(program: str) -> str:
    return HEAD + "".join(f"    {line}\n" for line in program.strip().splitlines())


def first_two(h: LAYERS, x: Tensor) -> Tensor:
    for number, layer in enumerate(h):
        if number == 2:
            break
        x = layer(x)
    made: Tensor = h[3](h[2](x))
    return made


def all_but_the_second(h: LAYERS, x: Tensor) -> Tensor:
    for number, layer in enumerate(h):
        if number == 1:
            continue
        x = layer(x) + number
    made: Tensor = h[1](x)
    return made


def until_small(h: LAYERS, x: Tensor) -> Tensor:
    for layer in h:
        if x.abs().max() < 1:
            break
        x = layer(x) / 2
    return x


def large_ones(h: LAYERS, x: Tensor) -> Tensor:
    for layer in h:
        y = layer(x)
        if y.sum() < 0:
            continue
        x = x + y
    return x


def halved(h: LAYERS, x: Tensor) -> Tensor:
    while True:
        x = x / 2
        if x.abs().max() < 0.1:
            break
    for layer in h:
        x = layer(x)
    return x


def some_return(h: LAYERS, x: Tensor) -> Tensor:
    for layer in h:
        if x.sum() > 3:
            return x
        if x.sum() < -3:
            break
        x = layer(x) * 2
    return x - 1


def two_loops(h: LAYERS, x: Tensor) -> Tensor:
    for layer in h:
        for n in range(3):
            if n == 1:
                continue
            if n == 2:
                break
            x = layer(x) + n
        if x.mean() > 1:
            break
    return x


def either_way(h: LAYERS, x: Tensor) -> Tensor:
    for layer in h:
        x = layer(x)
        if x.sum() > 0:
            continue
        else:
            break
    return x


PROGRAMS: dict[str, tuple[str, Callable[[LAYERS, Tensor], Tensor]]] = {
    "decided break": (
        "for number, layer in enumerate(h):\n  if number == most:\n    break\n  x = layer(x)\nreturn h[3](h[2](x))",
        first_two,
    ),
    "decided continue": (
        "for number, layer in enumerate(h):\n  if number == 1:\n    continue\n  x = layer(x) + number\nreturn h[1](x)",
        all_but_the_second,
    ),
    "break by data": (
        "for layer in h:\n  if x.abs().max() < 1:\n    break\n  x = layer(x) / 2\nreturn x",
        until_small,
    ),
    "continue by data": (
        "for layer in h:\n  y = layer(x)\n  if y.sum() < 0:\n    continue\n  x = x + y\nreturn x",
        large_ones,
    ),
    "while data": (
        "n = full((), 0.0)\nwhile n < 99:\n  x = x / 2\n  if x.abs().max() < 0.1:\n    break\n"
        "for layer in h:\n  x = layer(x)\nreturn x",
        halved,
    ),
    "return or break": (
        "for layer in h:\n  if x.sum() > 3:\n    return x\n  if x.sum() < -3:\n    break\n"
        "  x = layer(x) * 2\nreturn x - 1",
        some_return,
    ),
    "nested": (
        "for layer in h:\n  for n in range(3):\n    if n == 1:\n      continue\n    if n == 2:\n      break\n"
        "    x = layer(x) + n\n  if x.mean() > 1:\n    break\nreturn x",
        two_loops,
    ),
    "either way": (
        "for layer in h:\n  x = layer(x)\n  if x.sum() > 0:\n    continue\n  else:\n    break\nreturn x",
        either_way,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_loop_does_what_it_does_in_python(name: str) -> None:
    program, by_hand = PROGRAMS[name]
    artifact = compiler.compile_text(spec(program))
    built = runtime.build(artifact, device="cpu")
    alone = run_file(artifact.source, "Loops")
    alone.load_state_dict(built.state_dict())
    layers = list(built.get_submodule("h").children())
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(3, 4, generator=generator) * 3
        inputs = [x.clone().requires_grad_() for _ in range(3)]
        results = [built(inputs[0]), alone(inputs[1]), by_hand(layers, inputs[2])]
        assert all(torch.equal(each, results[2]) for each in results)
        for result in results:
            result.sum().backward()
        gradients = [each.grad for each in inputs]
        assert gradients[2] is not None
        assert all(each is not None and torch.equal(each, gradients[2]) for each in gradients)


def test_a_layer_that_no_way_reaches_is_not_made() -> None:
    artifact = compiler.compile_text(
        HEAD.replace("{h: {repeat: 4, of: Linear(4)}}", "{a: Linear(4), b: Linear(4)}")
        + "    for n in range(3):\n      if n == 0:\n        break\n      x = b(x)\n    return a(x)\n"
    )
    assert set(runtime.build(artifact, device="cpu").state_dict()) == {"a.weight", "a.bias"}


def test_what_is_never_reached_is_not_written() -> None:
    source = compiler.compile_text(
        spec("for layer in h:\n  x = layer(x)\n  if 2 > 1:\n    continue\n  x = x * 7\nreturn x")
    ).source
    assert "7" not in source
    ast.parse(source)


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("break\nreturn x", "not-in-language", "`break` stands in no loop"),
        ("if x.sum() > 0:\n  continue\nreturn x", "not-in-language", "`continue` stands in no loop"),
        (
            "for layer in h:\n  x = cat([x, x])\n  if x.sum() > 0:\n    break\nreturn x",
            "ways-disagree",
            "`x` is float32",
        ),
        (
            "n = 0\nfor layer in h:\n  n = n + 1\n  if x.sum() > 0:\n    break\nreturn x * n",
            "undecided-value",
            "`n` is",
        ),
    ],
)
def test_what_ways_must_agree_on(program: str, code: str, words: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(spec(program))
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert words in found.message
