"""`copy(...)`: first values of another part of the model, which are not shared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import runtime
from compiler.artifact import Artifact
from tests.compiler.test_emitted_initialisation import resets
from tests.emitted_file import run_file
from tests.properties.comparison import state
from tests.properties.drawn import Pool
from tests.properties.test_emitted_laws import compare
from tests.type_checker import refusal

HEAD = 'spec: 1\nname: spec\ninputs: {x: "float[batch, 8]"}\n'
NET = """
blocks:
  Net(width):
    layers: {up: Linear(width), norm: BatchNorm1d, down: Linear(8)}
    forward: return down(relu(norm(up(x))))
"""
PAIR = (
    HEAD
    + NET
    + """
model:
  layers: {student: Net(16), teacher: Net(16)}
  forward: return student(x), teacher(x)
init:
  - Linear.weight: normal(std=0.02)
  - RULE
"""
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.down(torch.relu(self.norm(self.up(x))))
        return made


class Pair(nn.Module):
    """A student and its teacher, as one writes them by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = Net(), Net()
        self.teacher.load_state_dict(self.student.state_dict())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.student(x), self.teacher(x)


def made(rules: str, text: str = PAIR) -> Artifact:
    return compiler.compile_text(text.replace("RULE", rules))


def both(artifact: Artifact) -> list[nn.Module]:
    """The model as it is built, and that of its emitted file alone."""
    return [runtime.build(artifact, device="cpu"), run_file(artifact.source, artifact.name)]


def alike(model: nn.Module, one: str, other: str) -> bool:
    values = state(model)
    pairs = [(values[n], values[other + n.removeprefix(one)]) for n in values if n.startswith(one)]
    return bool(pairs) and all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in pairs)


def test_a_teacher_begins_as_its_student_and_goes_its_own_way() -> None:
    artifact = made("teacher: copy('student')")
    for model in both(artifact):
        by_hand = Pair()
        assert list(model.state_dict()) == list(by_hand.state_dict())
        assert alike(model, "teacher.", "student.")
        by_hand.load_state_dict(model.state_dict())
        x = torch.randn(5, 8)
        for mine, theirs in zip(model(x), by_hand(x), strict=True):
            assert torch.equal(mine, theirs)
        model(x)[0].sum().backward()
        by_hand(x)[0].sum().backward()
        gradients = [each.grad for each in by_hand.parameters()]
        for (name, mine), gradient in zip(model.named_parameters(), gradients, strict=True):
            assert (mine.grad is None) == name.startswith("teacher")
            assert gradient is None or torch.allclose(mine.grad, gradient)  # type: ignore[arg-type]
        with torch.no_grad():
            model.get_parameter("student.up.weight").add_(1)
        assert not alike(model, "teacher.up.weight", "student.up.weight")


def test_the_file_says_it_as_one_does_by_hand() -> None:
    assert resets(made("teacher: copy('student')"))["Spec"] == (
        "for module in self.modules():\n"
        "    if isinstance(module, nn.Linear):\n"
        "        nn.init.normal_(module.weight, std=0.02)\n"
        "self.teacher.load_state_dict(self.student.state_dict())"
    )


def test_a_tensor_alone_and_one_of_another_dtype() -> None:
    text = HEAD + (
        "model:\n  layers: {a: Linear(8), b: Linear(8)}\n"
        '  parameters: {p: {tensor: "float[8]", init: "copy(\'a.bias\')"}, q: "bfloat16[8, 8]"}\n'
        "  forward: return b(a(x)) + p @ q.to(x.dtype)\n"
        "init: [b.weight: copy('a.weight'), q: copy('b.weight')]\n"
    )
    artifact = compiler.compile_text(text)
    for model in both(artifact):
        values = state(model)
        assert torch.equal(values["p"], values["a.bias"])
        assert torch.equal(values["b.weight"], values["a.weight"])
        assert torch.equal(values["q"], values["a.weight"].bfloat16())
    assert resets(artifact)["Spec"].count("torch.no_grad()") == 1


ROWS = (
    HEAD
    + NET
    + """
model:
  - h: {repeat: 5, of: Net(16)}
init:
  - RULE
"""
)


def test_all_layers_of_a_row_begin_alike() -> None:
    artifact = made("\"h[1:]\": copy('h[0]')", ROWS)
    for model in both(artifact):
        assert all(alike(model, f"h.{n}.", "h.0.") for n in range(1, 5))
    assert (
        "for index in range(1, 5):\n    self.h[index].load_state_dict(self.h[0].state_dict())"
        in (resets(artifact)["Spec"])
    )


def test_a_chain_is_written_in_its_order_whatever_that_of_the_rules() -> None:
    rules = "h.0: copy('h[-1]')\n  - h.3: copy('h[2]')\n  - h.4: copy('h[3]')"
    for model in both(made(rules, ROWS)):
        assert all(alike(model, f"h.{n}.", "h.2.") for n in (0, 3, 4))
        assert not alike(model, "h.1.", "h.2.")


BLOCKS = (
    HEAD
    + NET
    + """
  Two:
    layers: {a: Net(16), b: Net(16)}
    forward: return a(x) + b(x)
    init: [b: copy('a')]
model:
  - h: {repeat: 3, of: Two}
init:
  - RULE
"""
)


def test_a_block_copies_inside_of_each_instance() -> None:
    artifact = made("BatchNorm1d.weight: 0.5", BLOCKS)
    for model in both(artifact):
        assert all(alike(model, f"h.{n}.b.up", f"h.{n}.a.up") for n in range(3))
        assert not alike(model, "h.0.a.up", "h.1.a.up")
        assert state(model)["h.2.b.norm.weight"].eq(0.5).all()
    found = resets(artifact)
    assert "self.get_parameter('b.up.weight').copy_(self.get_parameter('a.up.weight'))" in found["Two"]
    assert "copy_" not in found["Spec"]


def test_what_a_rule_from_outside_fills_is_copied_behind_it() -> None:
    artifact = made("h.1.a.up.weight: normal(std=5)\n  - h.0.a: ones", BLOCKS)
    for model in both(artifact):
        assert all(alike(model, f"h.{n}.b.", f"h.{n}.a.") for n in range(3))
        assert state(model)["h.1.b.up.weight"].std() > 1
        assert state(model)["h.0.b.up.weight"].eq(1).all()


def test_a_later_rule_takes_a_part_away() -> None:
    for model in both(made("teacher: copy('student')\n  - teacher.down.bias: 0.25")):
        assert alike(model, "teacher.up.", "student.up.")
        assert state(model)["teacher.down.bias"].eq(0.25).all()


def test_a_row_of_padding_is_as_it_is_in_the_source() -> None:
    text = (
        'spec: 1\ninputs: {x: "int64[batch, time]"}\n'
        "model:\n  layers: {a: 'Embedding(5, 3)', b: 'Embedding(5, 3, padding_idx=1)'}\n"
        "  forward: return a(x) + b(x)\ninit: [b: copy('a')]\n"
    )
    for model in both(compiler.compile_text(text, name="spec.yaml")):
        assert alike(model, "b.", "a.")


def test_buffers_that_are_not_saved_are_not_copied() -> None:
    text = HEAD + (
        "blocks:\n  Part:\n    layers: {fc: Linear(8)}\n"
        "    buffers: {mask: {value: 'arange(8) * 1.0', persistent: false}, kept: {value: 'arange(8) * 2.0'}}\n"
        "    forward: return fc(x) * mask + kept\n"
        "model:\n  layers: {a: Part, b: Part}\n  forward: return a(x) + b(x)\n"
        "init: [b: copy('a')]\n"
    )
    artifact = compiler.compile_text(text)
    for model in both(artifact):
        assert alike(model, "b.", "a.")
    assert resets(artifact)["Spec"] == "self.b.load_state_dict(self.a.state_dict())"


def test_variables_still_become_arguments() -> None:
    text = PAIR.replace("name: spec", "name: spec\nvars: {width: 16}").replace("Net(16)", "Net(width)")
    source = made("teacher: copy('student')", text).source
    assert "width: int = 16" in source


def test_only_what_is_asked_for_is_drawn_and_files_keep_what_was_learnt(tmp_path: Path) -> None:
    artifact = made("teacher: copy('student')")
    model = runtime.build(artifact, seed=3, device="cpu")
    alone = runtime.initial_values(artifact, "teacher.up", seed=3)
    assert torch.equal(alone["teacher.up.weight"], model.get_parameter("student.up.weight"))
    with torch.no_grad():
        model.get_parameter("teacher.up.weight").zero_()
    runtime.save(model, tmp_path / "model.safetensors")
    again = runtime.load(tmp_path / "model.safetensors")
    assert not again.get_parameter("teacher.up.weight").any()
    assert again.get_parameter("student.up.weight").any()


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("teacher: copy('studnet')", "copy-source"),
        ("teacher: copy('*')", "copy-source"),
        ("teacher: copy('student.up')", "copy-source"),
        ("teacher.up: copy('student.down')", "copy-shape"),
        ("teacher.up: copy('student[0]')", "no-such-item"),
        ("teacher: copy('teacher')", "copy-circle"),
        ("teacher: copy('student')\n  - student: copy('teacher')", "copy-circle"),
        ("teacher: 2 * copy('student')", "bad-initializer"),
        ("teacher: copy", "unknown-initializer"),
        ("teacher: copy()", "bad-initializer"),
        ("teacher: copy(1)", "bad-initializer"),
        ("teacher: copy('student', 2)", "bad-initializer"),
        ("teacher: copy(name='student')", "bad-initializer"),
        ("teacher: copy('')", "copy-source"),
        ("teacher: copy('stu dent')", "bad-selector"),
        ("teacher: copy(student)", "unknown-initializer"),
    ],
)
def test_what_cannot_be_copied_is_said_in_its_place(rule: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        made(rule)
    assert {each.code for each in caught.value.diagnostics} == {code}
    assert all(each.span is not None and each.span.line >= 13 for each in caught.value.diagnostics)


def test_one_tensor_cannot_begin_as_two() -> None:
    text = BLOCKS.replace("- RULE", "- Linear.bias: zeros")
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile_text(text + "share: {one: [h.0.b, h.1.b]}\n")
    assert {each.code for each in caught.value.diagnostics} == {"share-conflict"}
    tied = compiler.compile_text(text + "share: {one: [h.0.b, h.1.b], two: [h.0.a, h.1.a]}\n")
    for model in both(tied):
        assert alike(model, "h.0.b", "h.1.a")


def test_the_emitted_files_are_typed(tmp_path: Path) -> None:
    rules = {
        "pair": made("teacher: copy('student')"),
        "part": made(
            "teacher.up: copy('student.up')\n  - teacher.norm.running_mean: copy('student.up.bias')"
        ),
        "rows": made("\"h[1:]\": copy('h[0]')\n  - h.4.up.bias: copy('h[2].up.bias')", ROWS),
        "blocks": made("h.1.a.up.weight: normal(std=5)", BLOCKS),
    }
    for name, artifact in rules.items():
        (tmp_path / f"{name}.py").write_text(artifact.source)
        compare(artifact, Pool())
    assert refusal(tmp_path) == ""
