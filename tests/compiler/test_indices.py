"""Items of a row in a selector, indexed as in Python: `h[10:13]`, `h[-1]`, `h[:depth - n]`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import compiler
import runtime
from compiler.other_devices import place
from compiler.rules.plan import Plan
from spec_schema.selectors import parse_selector

HEAD = """
spec: 1
vars: {depth: 12, n: 2, scale: 0.5}
inputs: {x: "float32[batch, 4]"}
blocks:
  Block(dim):
    layers: {attn: Linear(dim), mlp: [Linear(dim), ReLU, last: Linear(dim)]}
    forward(x): return mlp(attn(x))
model:
  - h: {repeat: depth, of: Block(4)}
  - head: Linear(4)
"""


def frozen(selector: str, head: str = HEAD, **values: object) -> list[str]:
    plan = compiler.compile_text(f"{head}freeze: ['{selector}']\n", set=values).plan
    return [row.name for row in plan.parameters if not row.trainable]


def refused(rules: str, head: str = HEAD) -> list[str]:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(head + rules)
    return [f"{each.span}: {each.code}: {each.message}" for each in caught.value.diagnostics]


BIASES = [f"h.{at}.attn.bias" for at in range(12)]


@pytest.mark.parametrize(
    ("index", "items"),
    [
        ("10:13", [10, 11]),
        ("-1", [11]),
        ("0", [0]),
        ("-12", [0]),
        (":depth - n", list(range(10))),
        ("depth-n:", [10, 11]),
        ("::n * 3", [0, 6]),
        ("-n:", [10, 11]),
        ("::-1", list(range(12))),
        ("depth // n", [6]),
        ("min(n, 1) : [1, 4][1]", [1, 2, 3]),
        (":", list(range(12))),
    ],
)
def test_as_in_python(index: str, items: list[int]) -> None:
    assert frozen(f"h[{index}].attn.bias") == [BIASES[at] for at in items]


BOUND = st.none() | st.integers(-15, 15)


@given(st.tuples(BOUND, BOUND, BOUND.filter(lambda step: step != 0)))
def test_any_slice_is_python_s(bounds: tuple[int | None, int | None, int | None]) -> None:
    text = "h[" + ":".join("" if bound is None else str(bound) for bound in bounds) + "]"
    chosen = parse_selector(text, None).bound({})
    paths = [[("h", ""), (str(at), "", (at, 12))] for at in range(12)]
    found = [at for at, path in enumerate(paths) if chosen.names(path)]  # type: ignore[arg-type]
    assert found == sorted(range(12)[slice(*bounds)])


def test_indices_in_a_chain_reach_rows_in_rows() -> None:
    assert frozen("h[-1].mlp[-1].bias") == ["h.11.mlp.last.bias"]
    assert frozen("mlp[0].bias", depth=2) == ["h.0.mlp.0.bias", "h.1.mlp.0.bias"]
    rows = HEAD.replace("of: Block(4)", "of: [Linear(4), Linear(4)]")
    assert frozen("h[1][0].bias", rows) == ["h.1.0.bias"]
    assert frozen("h[1:3][-1].bias", rows) == ["h.1.1.bias", "h.2.1.bias"]


def test_copies_with_names_count_by_their_place() -> None:
    named = HEAD.replace("of: Block(4)}", "of: Block(4), name: 'block{index + 1}'}")
    assert frozen("h[-1].attn.bias", named) == ["h.block12.attn.bias"]
    assert frozen("h[:2].attn.bias", named) == ["h.block1.attn.bias", "h.block2.attn.bias"]


def test_a_row_holds_what_is_spliced_and_what_runs_again() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
model:
  - stack: [first: Linear(4), {repeat: 2, of: Linear(4)}, first, last: Linear(4)]
"""
    assert frozen("stack[-1].bias", text) == ["stack.last.bias"]
    assert frozen("stack[1:3].bias", text) == ["stack.1.bias", "stack.2.bias"]


def test_a_row_inside_a_layer_of_torch() -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, time, 8]"}
model:
  - encoder: {layer: TransformerEncoder, encoder_layer: "${TransformerEncoderLayer(2, 8)}", num_layers: 3,
      enable_nested_tensor: false}
"""
    assert frozen("layers[-1].norm1.bias", text) == ["encoder.layers.2.norm1.bias"]


def test_a_block_indexes_with_its_own_arguments() -> None:
    text = """
spec: 1
vars: {n: 1}
inputs: {x: "float32[batch, 4]"}
blocks:
  Stack(depth):
    vars: {half: depth // 2}
    layers: {h: {repeat: depth, of: Linear(4)}}
    forward(x): return h(x)
    freeze: ["h[:depth - n].bias"]
    init: [{"h[half].bias": ones}]
model: [a: Stack(2), b: Stack(4)]
"""
    plan = compiler.compile_text(text).plan
    found = [row.name for row in plan.parameters if not row.trainable]
    assert found == ["a.h.0.bias", "b.h.0.bias", "b.h.1.bias", "b.h.2.bias"]
    assert [r.name for r in plan.rows if r.initialisation and r.initialisation.text == "ones"] == [
        "a.h.1.bias",
        "b.h.2.bias",
    ]


def test_every_section_takes_indices() -> None:
    rules = """
init: [{"h[-n:].attn.bias": 0.5}]
share: {one: ["h[:2].attn.weight", "h[-1].attn.weight"]}
placement: [{"h[depth // 4:]": cpu}, {"h[0]": cpu}]
"""
    plan = compiler.compile_text(HEAD + rules, set={"depth": 4}).plan
    assert _on(plan, "cpu") == {"h.0", "h.1", "h.2", "h.3"}
    assert plan.by_name["h.3.attn.weight"].names == ("h.0.attn.weight", "h.1.attn.weight", "h.3.attn.weight")
    assert [r.name for r in plan.rows if r.initialisation and r.initialisation.text == "0.5"] == [
        "h.2.attn.bias",
        "h.3.attn.bias",
    ]


def test_devices_by_index() -> None:
    placed = compiler.compile_text(
        HEAD + 'placement: [{/: cpu}, {"h[depth // 2:]": "cuda:0"}]\n', set={"depth": 4}
    )
    assert _on(placed.plan, "cuda:0") == {"h.2", "h.3"}
    assert _on(place(placed, {"h[0]": "cuda:0", "h[n:]": "cpu"}).plan, "cuda:0") == {"h.0"}


def _on(plan: Plan, device: str) -> set[str]:
    return {".".join(row.name.split(".")[:2]) for row in plan.rows if row.device == device}


def test_an_item_that_is_not_there_is_refused() -> None:
    assert refused('freeze: ["h[12]"]') == ["spec.yaml:12:13: no-such-item: `h` has 12 items, and no `[12]`"]
    assert refused('init: [{"h[-13].attn.bias": ones}]') == [
        "spec.yaml:12:12: no-such-item: `h` has 12 items, and no `[-13]`"
    ]
    assert refused('share: {s: ["h[0].attn", "h[depth].attn"]}') == [
        "spec.yaml:12:29: no-such-item: `h` has 12 items, and no `[depth]`"
    ]
    assert refused('placement: [{"h[0].attn[1]": cpu}]') == [
        "spec.yaml:12:25: no-such-item: `h.0.attn` is no row of layers, and has no `[1]`"
    ]
    assert refused('freeze: ["mlp[3]"]') == [
        "spec.yaml:12:15: no-such-item: `h.0.mlp` has 3 items, and no `[3]`"
    ]


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        ("h[scale]", "bad-selector"),
        ("h[1:2:0]", "bad-selector"),
        ("h[1:2:3:4]", "bad-selector"),
        ("h[]", "bad-selector"),
        ("h[0]x", "bad-selector"),
        ("h.[-1]", "bad-selector"),
        ("h.[2:5]", "bad-selector"),
        ("h[depht]", "unknown-name"),
        ("h[1 +]", "syntax"),
        ("h[x.shape]", "unknown-name"),
        ("h[0", "bad-selector"),
        ("h[9**9**9]", "integer-range"),
    ],
)
def test_what_is_no_index(selector: str, code: str) -> None:
    (found,) = refused(f"freeze: ['{selector}']")
    assert code in found
    assert found.startswith("spec.yaml:12:1")


def test_a_slice_that_variables_empty_is_no_unused_rule() -> None:
    assert frozen("h[:depth - n].attn.bias", n=12) == []
    assert frozen("h[:n]", n=0) == []
    compiler.compile_text(HEAD + 'init: [{"h[n:].attn.bias": ones}]\n', set={"n": 12})
    compiler.compile_text(HEAD + 'share: {s: ["h[n:].attn"]}\n', set={"n": 12})
    compiler.compile_text(HEAD + 'share: {s: ["h[0].attn", "h[n:].attn"]}\n', set={"n": 12})
    compiler.compile_text(HEAD + 'placement: [{/: cpu}, {"h[n:]": cpu}]\n', set={"n": 12})


@pytest.mark.parametrize("selector", ["h[:0]", "h[20:30]", "g[:n - 2]", "h[:n].atn", "h[0].atn"])
def test_what_numbers_or_a_slip_empty_is_unused(selector: str) -> None:
    (found,) = refused(f"freeze: ['{selector}']")
    assert "unused-rule" in found


def test_a_range_behind_a_name_is_told_the_dot() -> None:
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(HEAD + 'freeze: ["h[0-3].attn"]')
    assert caught.value.diagnostics[0].help == "did you mean `h.[0-3].attn`? it matches 8 parameters"


def test_a_part_is_drawn_by_index() -> None:
    artifact = compiler.compile_text(HEAD)
    assert list(runtime.initial_values(artifact, "h[-1].attn.bias")) == ["h.11.attn.bias"]
    assert len(runtime.initial_values(artifact, "h[:n].attn.bias")) == 2
    with pytest.raises(compiler.SpecError):
        runtime.initial_values(artifact, "h[12]")


TRAIN = """
train:
  data: {file: data.safetensors, x: x, y: y}
  loss: mse_loss(output, y)
  optimizer: SGD(lr=0.1)
  batch: 2
  steps: 1
  watch: WATCH
"""


def test_watched_by_index(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(4, 4), "y": torch.zeros(4, 4)}, tmp_path / "data.safetensors")
    for watch, names in (('["h[-1].attn.bias"]', ("h.11.attn.bias",)), ('["h[n - 2 : 0]"]', ())):
        (tmp_path / "spec.yaml").write_text(HEAD + TRAIN.replace("WATCH", watch))
        training = compiler.compile(tmp_path / "spec.yaml").training
        assert training is not None
        assert training.watch == names
