"""Open dimensions: what is inferred at example sizes holds for others, or is refused."""

from __future__ import annotations

import pytest
import torch

import compiler
import runtime
from compiler import Artifact, SpecError
from compiler.infer import sizes as other_sizes
from spec_schema.diagnostics import Diagnostic

STEPS = 'inputs: {x: "float32[batch, time, 3]"}'


def made(text: str) -> Artifact:
    return compiler.compile_text(f"spec: 1\n{text}")


def refused(text: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        made(text)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(
    ("inputs", "model", "names"),
    [
        ("image: 'float32[batch, 3, h, w]'", "['Conv2d(8, 3)', Flatten, Linear(10)]", "`h` and `w`"),
        ("image: 'float32[batch, 3, 8, w]'", "['Conv2d(8, 3)', Flatten, Linear(10)]", "`w`"),
        ("x: 'float32[batch, 3]'", "[flatten(0), Linear(4)]", "`batch`"),
        ("x: 'float32[batch, time, 3]'", "['transpose(1, 2)', LayerNorm]", "`time`"),
        ("x: 'float32[batch, time, 3]'", "[BatchNorm1d]", "`time`"),
        (
            "x: 'float32[batch, 2 * time]'",
            '["TransformerEncoder(TransformerEncoderLayer(nhead=1), num_layers=1)"]',
            "`time`",
        ),
    ],
)
def test_an_inferred_size_that_follows_an_open_dimension(inputs: str, model: str, names: str) -> None:
    (problem,) = refused(f"inputs: {{{inputs}}}\nmodel: {model}")
    assert problem.code == "open-size"
    assert problem.message.endswith(names)
    assert "vars" in str(problem.help)


@pytest.mark.parametrize("kind", ["parameters", "buffers"])
def test_an_own_tensor_that_follows_an_open_dimension(kind: str) -> None:
    (problem,) = refused(f"""
{STEPS}
model:
  {kind}: {{p: {{tensor: "float32[x.shape[1], 3]", init: zeros}}}}
  forward: return x + p
""")
    assert (problem.code, problem.span.text if problem.span else "") == ("open-size", "x.shape[1]")


def test_a_dimension_that_is_open_in_name_alone() -> None:
    problems = refused("""
inputs: {x: "float32[batch, time, 3]", y: "float32[batch, steps, 3]"}
model:
  forward: return x + y
""")
    assert [(each.code, each.message.split("`")[1]) for each in problems] == [
        ("fixed-dimension", "time"),
        ("fixed-dimension", "steps"),
    ]


BRANCH = """
inputs: {{x: "float32[batch, time, 3]"}}
model:
  layers: {{long: Linear(4), short: Linear(4)}}
  forward: |
    {program}
"""


@pytest.mark.parametrize(
    ("program", "short", "long"),
    [
        ("return long(x) if x.shape[1] > 8 else short(x)", 8, 9),
        ("return long(x) if x.shape[1] > 300 else short(x)", 300, 301),
        ("return short(x) if 2 * x.shape[1] + 1 < 17 else long(x)", 7, 8),
        ("return short(x) if x.shape[1] <= 3 or x.shape[1] == 16 else long(x)", 16, 5),
        ("return short(x) if x.shape[1] % 2 else long(x)", 3, 2),
        ("return short(x) if x.shape[0] * x.shape[1] < 1000 else long(x)", 499, 500),
        ("return long(x) if not x.size(1) < 40 else short(x)", 39, 40),
    ],
)
def test_both_branches_of_a_condition_on_an_open_dimension(program: str, short: int, long: int) -> None:
    artifact = made(BRANCH.format(program=program))
    assert set(artifact.plan.by_name) == {"long.weight", "long.bias", "short.weight", "short.bias"}
    model = runtime.build(artifact)
    for name, size in (("short", short), ("long", long)):
        x = torch.randn(2, size, 3)
        assert torch.equal(model(x), model.get_submodule(name)(x))


def test_a_fault_in_a_branch_that_only_other_sizes_take() -> None:
    (problem,) = refused(BRANCH.format(program="return x @ x if x.shape[1] > 8888 else short(x)"))
    assert problem.code == "shape-mismatch"
    assert "`time` is 8889" in problem.notes[0]


def test_a_layer_of_a_branch_whose_size_follows_the_dimension() -> None:
    (problem,) = refused(BRANCH.format(program="return long(x.flatten(1)) if x.shape[1] > 100 else short(x)"))
    assert problem.code == "open-size"


def test_values_move_in_a_branch_that_only_other_sizes_take() -> None:
    text = BRANCH.format(program="return short(x) if x.shape[1] > 100 else long(x)")
    artifact = made(f"{text}placement: [{{/: 'cuda:0'}}, {{long: 'cuda:1'}}]")
    assert "self.short(x.to(" in artifact.source


def test_a_condition_is_asked_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_sizes, "MOST_RUNS", 5)
    runs = []
    attempt = other_sizes.OtherSizes.attempt

    def counted(self: other_sizes.OtherSizes, sizes: other_sizes.Sizes) -> other_sizes.Attempt:
        made = attempt(self, sizes)
        runs.append(len(self.attempts))
        return made

    monkeypatch.setattr(other_sizes.OtherSizes, "attempt", counted)
    made(BRANCH.format(program="return long(x) if x.shape[1] ** 2 == 7 else short(x)"))
    assert max(runs) <= 8


@pytest.mark.parametrize(
    ("layer", "program"),
    [
        ("Linear(3)", "return a[0](x)"),
        ("[LayerNorm, Linear(3)]", "return a[0](x)"),
        ("Block", "return a[0](x)"),
        ("Block", "for u, v in zip(a, b):\n      x = v(u(x))\n    return x"),
    ],
)
def test_copies_that_nothing_calls(layer: str, program: str) -> None:
    problems = refused(f"""
{STEPS}
blocks: {{Block: [LayerNorm, Linear(3)]}}
model:
  layers: {{a: {{repeat: 3, of: {layer}}}, b: {{repeat: 2, of: Linear(3)}}}}
  forward: |
    {program}
""")
    assert {each.code for each in problems} == {"uncalled-copy"}


def test_a_copy_that_nothing_calls_and_whose_sizes_are_written() -> None:
    artifact = made(f"""
{STEPS}
model:
  layers: {{a: {{repeat: 2, of: "Linear(3, in_features=3)"}}}}
  forward: return a[0](x)
""")
    assert artifact.plan.by_name["a.1.weight"].shape == (3, 3)
    assert runtime.build(artifact)(torch.zeros(1, 2, 3)).shape == (1, 2, 3)


@pytest.mark.parametrize(("name", "refuses"), [("sise", True), ("siz", True), ("rows", False), ("s", False)])
def test_a_dimension_that_is_nearly_a_variable(name: str, refuses: bool) -> None:
    text = f'vars: {{size: 8}}\ninputs: {{x: "float32[batch, {name}, size]"}}\nmodel: [Linear(2)]'
    if refuses:
        assert [each.code for each in refused(text)] == ["near-variable"]
        text += f"\ndims: {{{name}: 8}}"
    assert made(text)
