"""Values move exactly where a flow crosses devices: as the emitted source says, and on stand-ins for devices."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import compiler
from compiler.placement.check import find_transfers
from runtime.classes import root_class
from tests.compiler.placement.stand_in import FIRST, SECOND, forward, put

SPECS = Path(__file__).parents[3] / "specs"
TO_SECOND, TO_FIRST = (FIRST, SECOND), (SECOND, FIRST)
Transfers = dict[tuple[str, str], int]

GPT2 = (SPECS / "zoo" / "gpt2.yaml").read_text()
PROGRAM = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  parameters: {scale: {tensor: "float[8]", init: ones}}
  layers: {f: Linear(8), g: Linear(8), h: {repeat: 4, of: Linear(8)}}
  forward: |
    BODY
placement: [{/: 'cuda:0'}, {"RULE": 'cuda:1'}]
"""
LIST = """
spec: 1
inputs: {x: "float[batch, 8]"}
model: MODEL
placement: [{/: 'cuda:0'}, {"RULE": 'cuda:1'}]
"""


@pytest.mark.parametrize(
    ("body", "rule", "written", "moves"),
    [
        ("return g(f(x))", "g", "x = self.g(self.f(x).to(self.g.weight.device))", {TO_SECOND: 1}),
        (
            "return x + g(x)",
            "g",
            "x + self.g(x.to(self.g.weight.device)).to(x.device)",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "return f(x) + g(x)",
            "g",
            "x = self.f(x) + self.g(x.to(self.g.weight.device)).to(x.device)",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "return f(x) * scale",
            "scale",
            ".to(self.scale.device) * self.scale",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "x = f(x)\nx *= scale\nreturn x",
            "scale",
            "x = x.to(self.scale.device) * self.scale",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "y = g(f(x))\nreturn f(x) @ g.weight.T + y",
            "g",
            "self.f(x).to(self.g.weight.device) @ self.g.weight.T",
            {TO_SECOND: 2},
        ),
        ("return g(f(x) * arange(8))", "g", "torch.arange(8, device=x.device)", {TO_SECOND: 1}),
        (
            "for layer in h:\n  x = layer(x)\nreturn x",
            "h.[2-3]",
            "x = layer(x.to(layer.weight.device))",
            {TO_SECOND: 1},
        ),
        (
            "return cat([layer(x) for layer in h], dim=1)",
            "h.3",
            "[each.to(x.device) for each in",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        ("return h(f(x))", "h", "self.h(self.f(x).to(self.h[0].weight.device))", {TO_SECOND: 1}),
        ("y = g(x)\nreturn y.to(x) + x", "g", "x = y.to(x) + x", {TO_SECOND: 1, TO_FIRST: 1}),
        (
            "y = g(x)\nreturn y + zeros(8, device=y.device)",
            "g",
            "torch.zeros(8, device=y.device)",
            {TO_SECOND: 1},
        ),
        (
            "return where(g(x) > 0, x, 0.0)",
            "g",
            "> 0).to(x.device), x, 0.0)",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "return g(x) + x",
            "g",
            "self.g(x.to(self.g.weight.device)).to(x.device) + x",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
    ],
)
def test_a_program(body: str, rule: str, written: str, moves: Transfers) -> None:
    artifact = compiler.compile_text(
        PROGRAM.replace("BODY", body.replace("\n", "\n    ")).replace("RULE", rule)
    )
    assert written in artifact.source
    found = forward(artifact)
    assert found.moves == moves


@pytest.mark.parametrize(
    ("model", "rule", "written", "moves"),
    [
        (
            "[Linear(8), ReLU, Linear(8)]",
            "/2",
            "x = self[1](x)\n        x = self[2](x.to(self[2].weight.device))\n        return x",
            {TO_SECOND: 1},
        ),
        ("[{repeat: 10, of: Linear(8)}]", "/[4-6]", "moves=(4, 7)", {TO_SECOND: 1, TO_FIRST: 1}),
        (
            "[[Linear(8), ReLU, Linear(8)]]",
            "/0.2",
            "Relay(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), moves=(2,))",
            {TO_SECOND: 1},
        ),
        (
            "[[Linear(8), ReLU], [Linear(8)]]",
            "/1",
            "x = self[1](x.to(self[1][0].weight.device))",
            {TO_SECOND: 1},
        ),
        (
            "[Linear(8), {residual: [Linear(8), ReLU]}]",
            "/1",
            "x = x.to(self[0].weight.device)\n        x = x + super().forward(x)",
            {TO_SECOND: 1},
        ),
        (
            "[{residual: [Linear(8), Linear(8)]}]",
            "/0.1",
            "x = x + y.to(x.device)",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "[{parallel: [Linear(8), ReLU, Linear(8)], combine: cat(dim=1)}]",
            "/0.2",
            "[self[0](x), self[1](x), self[2](x.to(self[2].weight.device)).to(self[0].weight.device)]",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "[a: Linear(8), a, b: Linear(8), a]",
            "b",
            "x = self.a(x.to(self.a.weight.device))",
            {TO_SECOND: 1, TO_FIRST: 1},
        ),
        (
            "[Linear(8), BatchNorm1d(affine=False)]",
            "/1",
            "self[1](x.to(self[1].running_mean.device))",
            {TO_SECOND: 1},
        ),
    ],
)
def test_a_list(model: str, rule: str, written: str, moves: Transfers) -> None:
    artifact = compiler.compile_text(LIST.replace("MODEL", model).replace("RULE", rule))
    assert written in artifact.source
    assert forward(artifact).moves == moves


def test_a_block_moves_its_inputs_once_for_all_that_is_in_it() -> None:
    placed = GPT2 + "placement: [{/: 'cuda:0'}, {'h.[2-3]': 'cuda:1'}, {ln_f: 'cuda:1'}]\n"
    artifact = compiler.compile_text(placed, preset="tiny", set={"depth": 4})
    assert artifact.source.count(".to(") == 2  # of Block, and in front of `head`, which is tied to `wte`
    assert "x = x.to(self.ln1.weight.device)\n" in artifact.source
    found = forward(artifact)
    assert found.moves == {TO_SECOND: 1, TO_FIRST: 1}
    assert found.outputs == (FIRST,)


def test_system_18_on_two_devices() -> None:
    text = (SPECS / "course" / "18_devices_by_part.yaml").read_text().replace("head: cpu", "head: 'cuda:1'")
    artifact = compiler.compile_text(text)
    assert "x = self.head(x.to(self.head.weight.device))" in artifact.source
    assert forward(artifact).moves == {("cpu", SECOND): 1}


def test_only_what_a_class_needs_in_some_instance_is_written() -> None:
    one = compiler.compile_text(GPT2, preset="tiny")
    assert ".to(" not in one.source
    assert find_transfers(one.inferred, one.plan).slots == {}


def test_a_layer_that_is_nothing_in_some_copies() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Block(short):
    layers: {f: Linear(8), skip: {if: short, then: [Linear(8)]}}
    forward: |
      y = f(x)
      return y + skip(y)
model: [Block(True), Block(False)]
placement: [{/: 'cuda:0'}, {skip: 'cuda:1'}]
""")
    assert "self.skip(y.to(next(self.skip.parameters(), y).device)).to(" in artifact.source
    assert forward(artifact).moves == {TO_SECOND: 1, TO_FIRST: 1}


def test_optional_inputs_and_states() -> None:
    artifact = compiler.compile_text(
        """
spec: 1
inputs: {x: "float[batch, time, 8]"}
blocks:
  Part:
    layers: {rnn: GRU(8, batch_first=True)}
    forward(x, state=None): |
      return rnn(x) if state is None else rnn(x, state)
model:
  layers: {one: Part, two: Part, three: "LSTM(8)", four: "LSTM(8)"}
  forward: |
    y, state = one(x)
    y, _ = two(y, state)
    y, states = three(y)
    return four(y, states)[0]
placement: [{/: 'cuda:0'}, {two: 'cuda:1'}, {four: 'cuda:1'}]
""".replace("GRU(8, batch_first=True)", '"GRU(8, batch_first=True)"')
    )
    assert (
        "if state is not None:\n            state = state.to(self.rnn.weight_ih_l0.device)" in artifact.source
    )
    assert "tuple([each.to(self.four.weight_ih_l0.device) for each in states])" in artifact.source
    moves = find_transfers(artifact.inferred, artifact.plan)
    assert sorted(route for move in moves.slots.values() for route in move.routes) == [
        *[(FIRST, SECOND)] * 4,
        (SECOND, FIRST),
    ]


def test_stand_ins_refuse_two_devices() -> None:
    """Take a move away, and the stand-ins notice: so that they find none missing means something."""
    artifact = compiler.compile_text(LIST.replace("MODEL", "[Linear(8), Linear(8)]").replace("RULE", "/1"))
    moved, still = (
        forward(artifact),
        compiler.compile_text(
            LIST.replace("MODEL", "[Linear(8), Linear(8)]").replace(", {\"RULE\": 'cuda:1'}", "")
        ),
    )
    assert moved.moves == {TO_SECOND: 1}
    with torch.device("meta"):
        model = root_class(still)()
    with FakeTensorMode(), torch.no_grad():
        for row in artifact.plan.rows:
            put(model, row.names, torch.nn.Parameter(torch.empty(row.shape, device=row.device), False))
        with pytest.raises(RuntimeError, match="two devices"):
            model(torch.empty(2, 8, device=FIRST))


def test_the_tools_of_torch_work_on_source_that_moves() -> None:
    artifact = compiler.compile_text("""
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  layers: {net: [Linear(8), ReLU, Linear(4)], h: {repeat: 2, of: Linear(4)}}
  forward: |
    y = net(x)
    for layer in h:
      y = y + layer(y)
    return y
placement: [{/: cpu}, {net.2: 'cuda:1'}, {h.1: 'cuda:1'}]
""")
    model, x = root_class(artifact)().eval(), torch.randn(2, 8)
    wanted: Tensor = model(x)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), wanted)
    assert torch.equal(torch.export.export(model, (x,)).module()(x), wanted)
    assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(x), wanted)


def test_what_a_block_makes_of_nothing_is_on_the_cpu_and_moves_where_it_is_used() -> None:
    text = """
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Mask(width):
    forward(count): |
      return ones(count, width)
model:
  layers: {f: Linear(8), mask: Mask(8)}
  forward: |
    return f(x) * mask(1)
placement: [{/: DEVICE}]
"""
    artifact = compiler.compile_text(text.replace("DEVICE", "'cuda:0'"))
    assert "x = self.f(x) * self.mask(1).to(x.device)" in artifact.source
    assert forward(artifact).moves == {("cpu", FIRST): 1}
    assert ".to(" in compiler.compile_text(text.replace("DEVICE", "auto")).source
    assert ".to(" not in compiler.compile_text(text.replace("DEVICE", "cpu")).source


PAIR = """
spec: 1
inputs: {x: "float[batch, 8]"}
blocks:
  Pair(skip=False):
    layers: {a: Linear(8), b: Linear(8)}
    forward: |
      return BODY
model: MODEL
placement: [{/: 'cuda:0'}, RULES]
"""


def test_a_move_follows_what_is_right_in_every_copy() -> None:
    text = PAIR.replace("BODY", "a(x) + b(x)").replace("MODEL", "[Linear(8), Pair, Pair]")
    artifact = compiler.compile_text(text.replace("RULES", "{a: 'cuda:1'}"))
    assert ".to(self.a.weight.device)" in artifact.source  # in the second copy `x` would do as well
    assert forward(artifact).moves == {TO_SECOND: 3, TO_FIRST: 1}


def test_nothing_is_right_in_every_copy() -> None:
    text = PAIR.replace("BODY", "(x if skip else a(x)) + b(x)").replace("MODEL", "[Pair(True), Pair]")
    with pytest.raises(
        compiler.SpecError, match="nothing here is on the right device in every copy"
    ) as caught:
        compiler.compile_text(text.replace("RULES", "{'/0.b': 'cuda:1'}, {'/1.b': 'cuda:1'}"))
    (found,) = caught.value.diagnostics
    assert found.code == "device-mix"
    assert "b(x)" in found.span.file.text[found.span.start : found.span.end]  # type: ignore[union-attr]


def test_a_parameter_that_a_block_gets_is_not_taken_for_a_value() -> None:
    with pytest.raises(compiler.SpecError, match="device-mix"):
        compiler.compile_text("""
spec: 1
inputs: {x: "float[2, 8]"}
blocks:
  Sum:
    forward(x, y): |
      return x + y
model:
  layers: {f: Linear(8), g: Linear(8), total: Sum}
  forward: |
    return total(f(x), total(f(x), g(x))) + total(f(x), g.weight[:2])
placement: [{/: 'cuda:0'}, {g: 'cuda:1'}]
""")
