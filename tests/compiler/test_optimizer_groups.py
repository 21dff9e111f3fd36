"""Which optimizer trains which parameter, with which options, and by which line."""

import pytest

import compiler
from compiler.rules.plan import Decision
from spec_schema.diagnostics import SpecError

SPEC = """
spec: 1
vars: {depth: 3, tuned: 1}
inputs: {x: "float32[batch, 8]"}
blocks:
  Layer(index):
    - LayerNorm
    - inner: {repeat: 2, of: Linear(8)}
model:
  - h: {repeat: depth, of: Layer(index)}
  - head: Linear(3)
train:
  data: {file: d.npz, x: xs, y: ys}
  loss: cross_entropy(output, y)
  optimizer: AdamW(lr=1e-3, weight_decay=0.1)
  groups:
    "{LayerNorm,bias}": {weight_decay: 0}
    h: {lr: lr / 2 ** (depth - index)}
  batch: 8
  epochs: 2
"""
SEVERAL = SPEC.replace(
    "AdamW(lr=1e-3, weight_decay=0.1)", "\n    Linear.weight: Muon(lr=0.02)\n    else: AdamW"
)


def options(text: str) -> dict[str, dict[str, object]]:
    training = compiler.compile_text(text).training
    assert training is not None
    return {name: dict(group.options) for group in training.groups for name in group.parameters}


def test_options_of_several_groups_come_together() -> None:
    found = options(SPEC)
    assert found["h.0.0.weight"] == {"weight_decay": 0, "lr": 1e-3 / 8}
    assert found["h.2.inner.1.weight"] == {"lr": 1e-3 / 2}
    assert found["head.weight"] == {}
    assert found["head.bias"] == {"weight_decay": 0}
    assert found.keys() == {row.name for row in compiler.compile_text(SPEC).plan.parameters}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("h", [0, 0, 1, 1, 2, 2]),
        ('"h.*"', [0, 0, 1, 1, 2, 2]),
        ('"h.*.inner"', [0, 1, 0, 1, 0, 1]),
        ("Linear", [0, 1, 0, 1, 0, 1]),
    ],
)
def test_the_index_is_that_of_the_repeat_that_the_selector_reaches(
    selector: str, expected: list[int]
) -> None:
    text = SPEC.replace("    h: {lr: lr / 2 ** (depth - index)}", f"    {selector}: {{lr: index}}")
    found = options(text.replace("  - head: Linear(3)\n", ""))
    named = sorted(name for name in found if ".inner." in name and name.endswith("weight"))
    assert [found[name]["lr"] for name in named] == expected


def test_a_frozen_parameter_is_in_no_group() -> None:
    found = options(SPEC + 'freeze: ["h[:depth - tuned]"]\n')
    assert not [name for name in found if name.startswith(("h.0", "h.1"))]


def test_explain_knows_the_line_of_each() -> None:
    artifact = compiler.compile_text(SEVERAL)
    assert artifact.training is not None
    decisions = {name: each for group in artifact.training.groups for name, each in group.decisions.items()}
    assert [line(each) for each in decisions["h.1.0.weight"]] == [
        ("optimizer", "AdamW", 17),
        ("lr", "0.00025: h", 20),
        ("weight_decay", "0: {LayerNorm,bias}", 19),
    ]
    assert [line(each) for each in decisions["head.weight"]] == [
        ("optimizer", "Muon", 16),
        ("lr", "0.02", 16),
        ("weight_decay", "0.1", None),
    ]


def line(decision: Decision) -> tuple[str, str, int | None]:
    return decision.section, decision.text, decision.place.line if decision.place else None


@pytest.mark.parametrize(
    ("text", "old", "new", "code", "place"),
    [
        (SEVERAL, "else: AdamW", "LayerNorm: AdamW", "missing-optimizer", "optimizer"),
        (SEVERAL, "else: AdamW", "head.weight: AdamW\n    else: SGD", "group-overlap", "head.weight"),
        (SEVERAL, "Linear.weight: Muon", "Linear: Muon", "bad-argument", "Muon(lr=0.02)"),
        (SEVERAL, "Linear.weight: Muon(lr=0.02)", "/: SGD", "unused-rule", "else"),
        (SEVERAL, "else: AdamW", "else: AdmaW", "unknown-optimizer", "AdmaW"),
        (SPEC, "    h:", "    hh:", "unused-rule", "hh"),
        (SPEC, "{lr: lr", "{weight_decay: lr", "group-overlap", "weight_decay"),
        (SPEC, "{lr: lr", "{rate: lr", "unknown-argument", "rate"),
        (SPEC, "    h:", "    head:", "unknown-name", "lr / 2 ** (depth - index)"),
        (SPEC, "{weight_decay: 0}", "{weight_decay: true}", "argument-type", "true"),
        (
            SPEC,
            "  batch: 8",
            "  schedule: OneCycleLR(max_lr=0.1)\n  batch: 8",
            "conflicting-keys",
            "OneCycleLR(max_lr=0.1)",
        ),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(text: str, old: str, new: str, code: str, place: str) -> None:
    assert old in text
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text.replace(old, new))
    found = caught.value.diagnostics[0]
    assert (found.code, found.span.text if found.span else None) == (code, place)


@pytest.mark.parametrize(
    ("section", "label"),
    [
        ("optimizer: {weight: LBFGS, else: AdamW}", "AdamW"),
        ("optimizer: {weight: AdamW, else: LBFGS}", "AdamW"),
        ("optimizer: LBFGS\n  groups: {bias: {lr: 0.5}}", "lr"),
    ],
)
def test_an_optimizer_that_needs_all_parameters_stands_alone(section: str, label: str) -> None:
    spec = f"""
spec: 1
inputs: {{x: "float32[batch, 4]"}}
model: [Linear(2)]
train:
  data: {{file: a.npz, x: xs, y: ys}}
  loss: mse_loss(output, y)
  {section}
  batch: 4
  epochs: 1
"""
    with pytest.raises(SpecError) as caught:
        compiler.compile_text(spec)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.text) == ("conflicting-keys", "LBFGS")
    assert found.labels[0].span.text == label
    assert compiler.compile_text(spec.replace(section, "optimizer: LBFGS")).training is not None
