"""`{if: expr, then: [...]}` in `init`, `freeze` and `placement`, and in the blocks of a spec."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.infer.dtypes import default_dtype
from compiler.printing import print_program

SPEC = """
spec: 1
vars: {depth: 4, tuned: 1, flag: true, word: "'relu'"}
inputs: {x: "float[batch, 4]"}
blocks:
  Layer(last, width=4):
    vars: {wide: width > 4}
    layers: {a: Linear(width), b: Linear(4)}
    forward(x): return b(a(x))
    RULES
model:
  - h: {repeat: depth, of: "Layer(index == depth - 1)"}
  - head: Linear(4)
"""


def compiled(rules: str, block: str = "doc: a block", **values: object) -> Artifact:
    return compiler.compile_text(SPEC.replace("RULES", block) + rules + "\n", set=values)


def frozen(rules: str, block: str = "doc: a block", **values: object) -> list[str]:
    return [row.name for row in compiled(rules, block, **values).plan.parameters if not row.trainable]


def with_init(artifact: Artifact, value: str) -> list[str]:
    rows = artifact.plan.rows
    return [row.name for row in rows if row.initialisation and row.initialisation.text == value]


def refused(rules: str, block: str = "doc: a block", **values: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        compiled(rules, block, **values)
    return [f"{each.span}: {each.code}: {each.message}" for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("flag", True),
        ("not flag", False),
        ("tuned > 0 and depth == 4", True),
        ("depth - 4", False),
        ("word == 'gelu'", False),
        ("false", False),
        ("word", True),
    ],
)
def test_each_section_follows_the_variables(condition: str, holds: bool) -> None:
    under = f"{{if: {condition}, then: [THEN]}}"
    assert frozen(f"freeze: [{under.replace('THEN', 'head')}]") == ["head.weight", "head.bias"] * holds
    init = compiled(f"init: [{under.replace('THEN', '{head.bias: 0.5}')}]")
    assert with_init(init, "0.5") == ["head.bias"] * holds
    placed = compiled(f"placement: [{under.replace('THEN', '{/: cpu}')}]")
    assert {row.device for row in placed.plan.rows} == {"cpu" if holds else "auto"}


def test_items_keep_their_place_in_the_list() -> None:
    rules = "init: [{bias: 1}, {if: flag, then: [{head.bias: 2}, {h.0.a.bias: 3}]}, {h.0.a.bias: 4}]"
    made = compiled(rules)
    assert with_init(made, "2") == ["head.bias"]
    assert with_init(made, "3") == []
    assert with_init(made, "4") == ["h.0.a.bias"]
    assert with_init(compiled(rules, flag=False), "1") == [
        name for name in made.plan.by_name if name.endswith("bias") and name != "h.0.a.bias"
    ]
    assert [(d.text, d.won) for d in made.plan.by_name["h.0.a.bias"].decisions[-3:]] == [
        ("bias: 1", False),
        ("h.0.a.bias: 3", False),
        ("h.0.a.bias: 4", True),
    ]


def test_the_dtype_of_the_model_may_follow_a_variable() -> None:
    rules = "placement: [{if: flag, then: [{/: {dtype: bfloat16}}]}]"
    assert compiled(rules).plan.by_name["head.bias"].dtype is torch.bfloat16
    assert default_dtype(compiled(rules).program) is torch.bfloat16
    assert compiled(rules, flag=False).plan.by_name["head.bias"].dtype is torch.float32


def test_a_long_checkpoint_may_stand_under_a_condition() -> None:
    rules = "init: [{if: not flag, then: [{/: {checkpoint: nowhere.safetensors, skip: [x]}}]}]"
    assert not any(
        "checkpoint" in row.initialisation.text for row in compiled(rules).plan.rows if row.initialisation
    )


@pytest.mark.parametrize(
    "key", ["init: [{if: last, then: [{b.weight: zeros}]}]", "freeze: [{if: last, then: [b.weight]}]"]
)
def test_each_instance_of_a_block_decides(key: str) -> None:
    made = compiled("", key)
    chosen = [r.name for r in made.plan.rows if not r.trainable] + with_init(made, "zeros")
    assert chosen == ["h.3.b.weight"]


def test_a_block_s_own_variables_decide() -> None:
    block = "freeze: [{if: wide, then: [a]}]"
    text = SPEC.replace("RULES", block).replace(
        "head: Linear(4)", "wide: Layer(False, 5)\n  - head: Linear(4)"
    )
    found = [row.name for row in compiler.compile_text(text).plan.parameters if not row.trainable]
    assert found == ["wide.a.weight", "wide.a.bias"]


HIDING = """
spec: 1
vars: {flag: SPEC}
inputs: {x: "float[batch, 4]"}
blocks:
  Layer(flag):
    layers: {a: Linear(4)}
    forward(x): return a(x)
    freeze: [{if: flag, then: [a.bias]}]
model:
  vars: {flag: MODEL, own: 1}
  layers: {one: Layer(True), two: Layer(False)}
  forward(x): return two(one(x))
  freeze: [{if: flag, then: [two.a.bias]}]
freeze: [{if: flag, then: [one.a.weight]}]
"""


@pytest.mark.parametrize(("spec", "model"), [("true", "false"), ("false", "true")])
def test_a_rule_sees_the_names_of_where_it_stands(spec: str, model: str) -> None:
    plan = compiler.compile_text(HIDING.replace("SPEC", spec).replace("MODEL", model)).plan
    found = {row.name for row in plan.parameters if not row.trainable}
    assert found == {"one.a.bias", "one.a.weight" if spec == "true" else "two.a.bias"}


def test_a_rule_of_the_spec_does_not_see_the_variables_of_the_model() -> None:
    text = (
        HIDING.replace("SPEC", "true")
        .replace("MODEL", "true")
        .replace("freeze: [{if: flag, then: [one", "freeze: [{if: flag or own, then: [one")
    )
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(text)
    (found,) = caught.value.diagnostics
    assert (found.code, found.notes) == ("unknown-name", ("values in scope: `flag`",))


TIED = """
spec: 1
inputs: {x: "float[batch, 4]"}
blocks:
  Pair(tied):
    layers: {a: Linear(4), b: Linear(4), c: Linear(4)}
    forward(x): return c(b(a(x)))
    share: {both: {if: tied, then: [a, b]}}
model: [one: Pair(ONE), two: Pair(TWO)]
share: {across: [one.c.weight, two.c.weight]}
"""


@pytest.mark.parametrize(
    ("one", "two"), [("True", "False"), ("False", "True"), ("True", "True"), ("False", "False")]
)
def test_a_file_ties_what_each_instance_ties(tmp_path: Path, one: str, two: str) -> None:
    artifact = compiler.compile_text(TIED.replace("ONE", one).replace("TWO", two))
    (tmp_path / "model.py").write_text(artifact.source)
    alone = runpy.run_path(str(tmp_path / "model.py"))["Spec"]()
    for model in (alone, runtime.build(artifact, device="cpu")):
        assert (model.one.a is model.one.b) == (one == "True")
        assert (model.two.a is model.two.b) == (two == "True")
        assert model.one.c.weight is model.two.c.weight
        assert model.two.a.weight is not model.one.a.weight


def test_a_file_ties_rows_of_each_length(tmp_path: Path) -> None:
    text = """
spec: 1
inputs: {x: "float32[batch, 4]"}
blocks:
  Stack(depth):
    layers: {h: {repeat: depth, of: Linear(4)}}
    forward(x): return h(x)
    share: {all: ["h.*"]}
model: [a: Stack(2), b: Stack(4)]
"""
    (tmp_path / "model.py").write_text(compiler.compile_text(text).source)
    alone = runpy.run_path(str(tmp_path / "model.py"))["Spec"]()
    assert [name for name, _ in alone.named_parameters()] == [
        "a.h.0.weight",
        "a.h.0.bias",
        "b.h.0.weight",
        "b.h.0.bias",
    ]


def test_an_empty_range_under_a_condition_is_no_unused_rule() -> None:
    assert frozen('freeze: [{if: depth > 2, then: ["h[4:]"]}]') == []
    assert frozen('freeze: [{if: depth > 2, then: ["h[4:].a"]}]', depth=5) == ["h.4.a.weight", "h.4.a.bias"]
    compiled('init: [{if: flag, then: [{"h[9:].a.bias": ones}]}]')
    compiled('placement: [{/: cpu}, {if: flag, then: [{"h[9:]": cpu}]}]')
    compiled('share: {s: {if: flag, then: ["h[0].a", "h[9:].a"]}}')
    (found,) = refused('freeze: ["h[4:]"]')
    assert "unused-rule" in found


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        ("hed", "unused-rule"),
        ("g[4:]", "unused-rule"),
        ("h[4:].bb", "unused-rule"),
        ("h[:0].a.wieght", "unused-rule"),
        ("h[9]", "no-such-item"),
        ("h.[7-9].a", "unused-rule"),
    ],
)
def test_a_slip_under_a_condition_is_refused(selector: str, code: str) -> None:
    for rules in (
        f'freeze: [{{if: flag, then: ["{selector}"]}}]',
        f'init: [{{if: flag, then: [{{"{selector}": ones}}]}}]',
        f'placement: [{{/: cpu}}, {{if: flag, then: [{{"{selector}": cpu}}]}}]',
        f'share: {{s: {{if: flag, then: ["head", "{selector}"]}}}}',
    ):
        (found,) = refused(rules)
        assert f": {code}: " in found
        assert frozen(rules, flag=False) == []


def test_a_slip_behind_a_slice_that_variables_empty_is_refused() -> None:
    (found,) = refused('freeze: ["h[:tuned - 1].bb"]')
    assert "unused-rule" in found
    assert frozen('freeze: ["h[:tuned - 1].b"]') == []


def test_a_rule_of_a_block_that_holds_in_some_instances_matches_there() -> None:
    (found,) = refused("", "freeze: [{if: last, then: [c]}]")
    assert "unused-rule" in found
    assert frozen("", "freeze: [{if: width > 9, then: [c]}]") == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("freeze: [{if: dept, then: [head]}]", "unknown-name: there is no value named `dept` here"),
        ("freeze: [{if: x, then: [head]}]", "unknown-name: there is no value named `x` here"),
        ("freeze: [{if: depth >, then: [head]}]", "syntax: this ends in the middle"),
        ("init: [{if: 1 / (depth - 4), then: [{head.bias: ones}]}]", "evaluation: `/` divides by zero"),
        ("freeze: [{if: not flag, then: [head..x]}]", "bad-selector: this is not a selector"),
        ('freeze: [{if: not flag, then: ["h[dept]"]}]', "unknown-name: there is no value named `dept` here"),
        (
            "placement: [{if: not flag, then: [{/: nowhere}]}]",
            "unknown-device: torch has no device `nowhere`",
        ),
        ("freeze: [{if: flag}]", "missing-key: the key `then` is missing"),
        ("init: [{then: [{head.bias: ones}]}]", "missing-key: the key `if` is missing"),
        ("init: [{iff: flag, then: [{head.bias: ones}]}]", "unknown-key: there is no key `iff` here"),
        ("freeze: [{if: flag, then: head}]", "wrong-type: a list is expected here, and this is a text"),
        (
            "freeze: [{if: [1], then: [head]}]",
            "wrong-type: an expression is expected here, and this is a list",
        ),
        ("freeze: [{if: flag, then: [head], else: [h]}]", "unknown-key: there is no key `else` here"),
    ],
)
def test_what_is_wrong_is_told(rules: str, expected: str) -> None:
    (found,) = refused(rules)
    assert found.partition(": ")[2] == expected


def test_a_condition_of_a_block_is_told() -> None:
    (found,) = refused("", "freeze: [{if: lsat, then: [a]}]")
    assert "unknown-name: there is no value named `lsat` here" in found
    (found,) = refused("", "freeze: [{if: 1 / (width - 4), then: [a]}]")
    assert "evaluation: `/` divides by zero" in found
    (found,) = refused("freeze: [{if: last, then: [head]}]")
    assert "unknown-name: there is no value named `last` here" in found


@pytest.mark.parametrize(
    ("rules", "help"),
    [
        ("freeze: [{if: flag}]", "write `then: [wte]`"),
        ("init: [{if: flag}]", "write `then: [{Linear.weight: xavier_uniform}]`"),
        ("placement: [{if: flag}]", "write `then: [{/: auto}]`"),
        ("share: {s: {if: flag}}", "write `then: [wte.weight, head.weight]`"),
        ("init: [{then: [{head.bias: ones}]}]", "write `if: depth > 2`"),
        ("init: [{if: flag, then: {head.bias: 1}}]", "write each as an item: `- head.bias: ...`"),
        ("freeze: {if: flag, then: [head]}", "write each as an item: `- {if: ..., then: [...]}`"),
        (
            "share: {if: flag, then: [head]}",
            "write the name of the group first: `words: {if: ..., then: [...]}`",
        ),
        (
            "share: {s: [{if: flag, then: [h]}]}",
            "write the name of the group first: `words: {if: ..., then: [...]}`",
        ),
        (
            "freeze: [{if: flag, then: [head], else: [h]}]",
            "write the other case as a condition of its own: `{if: not tied, then: [...]}`",
        ),
        *(
            (rules, "conditions do not nest: write one that has both, `if: tied and depth > 2`")
            for rules in (
                "freeze: [{if: flag, then: [{if: flag, then: [head]}]}]",
                "init: [{if: flag, then: [{if: flag, then: [{head.bias: 1}]}]}]",
            )
        ),
    ],
)
def test_a_wrong_form_says_the_right_one(rules: str, help: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(rules)
    assert [each.help for each in caught.value.diagnostics] == [help]


def test_layers_that_are_called_as_a_section_have_their_own_example() -> None:
    text = 'spec: 1\ninputs: {x: "float[batch, 4]"}\nmodel: {layers: {init: {if: 1 > 2}}}\n'
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(text)
    assert [each.help for each in caught.value.diagnostics] == ["write `then: ReLU`"]


def test_a_condition_is_printed() -> None:
    made = compiled("freeze: [{if: flag, then: [head]}]", "freeze: [{if: last, then: [a]}]")
    printed = print_program(made.program)
    assert "freeze a if last  # spec.yaml:10" in printed
    assert "freeze head  # spec.yaml:14" in printed
