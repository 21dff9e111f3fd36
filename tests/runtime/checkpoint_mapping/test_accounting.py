"""Each tensor of a file and of the model is used, skipped by name, or an error with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import compiler
import runtime
from spec_schema.diagnostics import Diagnostic
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_full
from tests.runtime.checkpoint_mapping.conftest import Shapes, counted, holding, loaded, refused, write

FILE: Shapes = {"m.fc.weight": [4, 8], "m.fc.bias": [4], "m.norm.weight": [4], "head.weight": [2, 4]}
MODEL: Shapes = {"fc.weight": [4, 8], "fc.bias": [4], "norm.weight": [4]}
FINE = "prefix='m.', skip=['/head']"


def rule(arguments: str, selector: str = "/") -> str:
    return f"  - {selector}: \"checkpoint('file.safetensors', {arguments})\"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "file.safetensors", counted(FILE))
    return tmp_path


def said(diagnostic: Diagnostic) -> str:
    """What a diagnostic says, on one line."""
    return " | ".join(
        [diagnostic.message, *diagnostic.notes, *([diagnostic.help] if diagnostic.help else [])]
    )


def test_what_fits_is_loaded(folder: Path) -> None:
    model = loaded(holding(MODEL, rule(FINE)), folder)
    assert torch.equal(model.get_parameter("fc.weight"), counted(FILE)["m.fc.weight"])


@pytest.mark.parametrize(
    ("arguments", "code", "place", "words"),
    [
        ("prefix='m.'", "checkpoint-unused", "checkpoint(",
         ["`head.weight`", "does not begin with", "skip=['head.weight']"]),
        ("skip=['head']", "checkpoint-tensor", "checkpoint(", ["3 of 3", "give `prefix='m.'`"]),
        ("prefix='n.', skip=['head']", "checkpoint-pattern", "'n.'", ["did you mean `m.`"]),
        ("prefix='m.', skip=['haed']", "checkpoint-pattern", "'haed'", ["did you mean `head`"]),
        ("prefix='m.', skip=['head', 'q']", "checkpoint-pattern", "'q'", ["here they are called"]),
        ("prefix='m.', skip=['head', 'norm']", "checkpoint-tensor", "checkpoint(",
         ["`m.norm.weight` is skipped by `norm`"]),
        ("prefix='m.', skip=['head'], rename={'nrom': 'n'}", "checkpoint-pattern", "'nrom'", ["did you mean `norm`"]),
        ("prefix='m.', skip=['head'], rename={'norm': 'nrom'}", "checkpoint-tensor", "checkpoint(",
         ["for `norm.weight`", "did you mean `nrom.weight`"]),
        ("prefix='m.', skip=['head'], rename={'norm': 'fc'}", "checkpoint-clash", "checkpoint(",
         ["`m.fc.weight` and `m.norm.weight`", "become `fc.weight`"]),
        ("prefix='m.', skip=['head'], transpose=['fc']", "checkpoint-shape", "checkpoint(",
         ["[8, 4]", "[4, 8]", "leave it as it is"]),
        ("prefix='m.', skip=['head'], transpose={'fc.weight': [0, 1, 2]}", "checkpoint-shape", "'fc.weight'",
         ["has 2 dimensions, and 3 are named"]),
        ("prefix='m.', skip=['head'], transpose=['cf']", "checkpoint-pattern", "'cf'", ["did you mean `fc`"]),
        ("prefix='m.', skip=['head'], split={'norm': ['a', 'b']}", "checkpoint-tensor", "checkpoint(",
         ["`norm.weight`"]),
        ("prefix='m.', skip=['head'], split={'norm': ['a', 'b', 'c']}", "checkpoint-shape", "'norm'", ["1 + 1 + 1"]),
        ("prefix='m.', skip=['head'], split={'norm': {'parts': ['a', 'b'], 'dim': 1}}", "checkpoint-shape", "'norm'",
         ["no dimension 1"]),
        ("prefix='m.', skip=['head'], stack={'norm': ['norm', 'nrm']}", "checkpoint-tensor", "'norm'",
         ["the part `nrm.weight` of `norm.weight`", "did you mean `norm.weight`"]),
        ("prefix='m.', skip=['head'], stack={'fc.weight': ['fc.weight', 'norm.weight']}", "checkpoint-shape",
         "'fc.weight'", ["do not fit together", "[4, 8]"]),
        ("prefix='m.', skip=['head'], stack={'a': ['b', 'c']}", "checkpoint-pattern", "'a'", ["`stack` matches no"]),
        ("prefix='m.', skip=['head'], splits={}", "unknown-argument", "splits", ["did you mean `split`"]),
        ("prefix=3", "checkpoint-argument", "3", ["a text is expected"]),
        ("prefix='m.', skip={'a': 'b'}", "checkpoint-argument", "{'a'", ["`skip` takes a list"]),
        ("prefix='m.', rename=['a']", "checkpoint-argument", "['a']", ["`rename` takes a mapping"]),
        ("prefix='m.', stack={'a': ['b']}", "checkpoint-argument", "'a'", ["two or more names"]),
        ("prefix='m.', stack={'a': {'parts': ['b', 'c'], 'dim': -1}}", "checkpoint-argument", "'a'", ["whole number"]),
        ("prefix='m.', transpose={'a': [1, 2]}", "checkpoint-argument", "'a'", ["counted from 0"]),
        ("prefix='m.', skip=['a b']", "bad-selector", "'a b'", []),
        ("prefix='m.', rename={'a': 'b*'}", "checkpoint-argument", "'b*'", ["stands for nothing"]),
        ("prefix='m.', split={'a': ['b', 'c*']}", "checkpoint-argument", "'c*'", ["stands for nothing"]),
        ("prefix='m.', stack={'a': {'parts': ['b', '**']}}", "checkpoint-argument", "'**'", ["stands for nothing"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    arguments: str, code: str, place: str, words: list[str], folder: Path
) -> None:
    try:
        found = refused(holding(MODEL, rule(arguments)), folder)
    except compiler.SpecError as error:  # wrong whatever is in the file
        found = error.diagnostics
    first = next(each for each in found if each.code == code)
    assert first.span is not None
    assert first.span.text.startswith(place)
    assert all(word in said(first) for word in words), said(first)


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    init = (
        rule("prefix='m.', skip=['head'], rename={'norm': 'other'}, transpose=['fc.weight']", "fc")
        + "  - norm: checkpoint('none.safetensors')\n"
    )
    assert [each.code for each in refused(holding(MODEL, init), folder)] == ["checkpoint-missing"]
    found = refused(holding(MODEL, init.replace("none", "file")), folder)
    assert sorted(each.code for each in found) == [
        "checkpoint-shape",
        "checkpoint-tensor",
        "checkpoint-unused",
    ]


def test_several_rules_share_the_account_of_a_file(folder: Path) -> None:
    init = rule("prefix='m.'", "fc") + rule("prefix='m.'", "norm") + rule("", "head")
    model = loaded(holding({**MODEL, "head.weight": [2, 4]}, init), folder)
    assert torch.equal(model.get_parameter("head.weight"), counted(FILE)["head.weight"])
    (found,) = refused(holding(MODEL, rule("prefix='m.'", "fc") + rule("prefix='m.'", "norm")), folder)
    assert found.code == "checkpoint-unused"
    assert "norm" in found.span.file.line(found.span.line)  # type: ignore[union-attr]


def test_a_later_rule_takes_a_tensor_away(folder: Path) -> None:
    (found,) = refused(holding(MODEL, rule(FINE) + "  - norm: ones\n"), folder)
    assert found.code == "checkpoint-unused"
    assert "decided by another rule: `norm: ones`" in said(found)
    loaded(holding(MODEL, rule("prefix='m.', skip=['/head', 'norm']") + "  - norm: ones\n"), folder)


def test_repeated_blocks_are_one_error(tmp_path: Path) -> None:
    shapes = {f"h.b{at}.w": [2, 3] for at in range(9)}
    numbered = {f"h.{at}.w": [2, 3] for at in range(9)}
    write(tmp_path / "file.safetensors", counted(numbered))
    (found,) = refused(holding(shapes, rule("rename={'h.*': 'h.b*'}, transpose=['w']")), tmp_path)[:1]
    found_all = refused(holding(shapes, rule("")), tmp_path)
    assert [each.code for each in found_all] == ["checkpoint-tensor", "checkpoint-unused"]
    assert "skip=['h.*.w']" in said(found_all[1])
    assert found.code == "checkpoint-shape"


def test_every_message_is_printed(folder: Path) -> None:
    found = refused(holding(MODEL, rule("rename={'m.norm': 'x'}")), folder)
    text = render_full(found, False, DEFAULT_LIMITS)
    assert text.count("error[checkpoint-") == len(found) > 0


# Names that are one tensor, and buffers.

TIED = """\
spec: 1
inputs: {tokens: "int64[time]"}
model:
  layers: {a: "Embedding(4, 4)", b: "Linear(4, bias=False)"}
share: {one: [a.weight, b.weight]}
init:
  - /: checkpoint('file.safetensors')
"""


@pytest.mark.parametrize("names", [["a.weight"], ["b.weight"], ["a.weight", "b.weight"]])
def test_a_file_may_hold_one_or_all_names_of_a_tensor(names: list[str], tmp_path: Path) -> None:
    value = torch.randn(4, 4)
    value[0, 0] = torch.nan
    write(tmp_path / "file.safetensors", {name: value.clone() for name in names})
    model = loaded(compiler.compile_text(TIED), tmp_path)
    assert model.a.weight is model.b.weight
    assert torch.equal(model.a.weight.nan_to_num(7), value.nan_to_num(7))
    runtime.save_like(model, tmp_path / "back.safetensors", tmp_path / "file.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "file.safetensors").read_bytes()


def test_different_values_under_its_names_are_refused(tmp_path: Path) -> None:
    value, other = torch.zeros(4, 4), torch.zeros(4, 4)
    other[1, 2], other[3, 3] = 0.5, -2
    write(tmp_path / "file.safetensors", {"a.weight": value, "b.weight": other})
    artifact = compiler.compile_text(TIED)
    runtime.load_plan(artifact, tmp_path)  # values are not read
    with pytest.raises(compiler.SpecError) as caught:
        loaded(artifact, tmp_path)
    (found,) = caught.value.diagnostics
    assert found.code == "checkpoint-tied"
    assert all(word in said(found) for word in ("`a.weight`", "`b.weight`", "2 of 16", "by 2 at [3, 3]"))


BUFFERS = """\
spec: 1
inputs: {x: "float[batch, 3]"}
model:
  layers: {norm: BatchNorm1d}
  buffers:
    kept: {tensor: "float[2]", init: zeros}
    passing: {tensor: "float[2]", init: ones, persistent: false}
    computed: {value: "arange(2)"}
  forward: |
    return norm(x)
init:
  - /: checkpoint('file.safetensors')
"""


def test_persistent_buffers_are_targets_and_others_are_not(tmp_path: Path) -> None:
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(8, 3))
    state = {f"norm.{name}": value for name, value in norm.state_dict().items()}
    write(tmp_path / "file.safetensors", {**state, "kept": torch.tensor([3.0, 4.0])})
    model = loaded(compiler.compile_text(BUFFERS), tmp_path)
    assert int(model.norm.num_batches_tracked) == 1
    assert torch.equal(model.norm.running_mean, norm.running_mean)
    assert model.kept.tolist() == [3, 4]
    assert model.passing.tolist() == [1, 1]
    assert model.computed.tolist() == [0, 1]


# Dtypes, scopes and expressions.


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_values_are_converted_and_the_plan_says_so(stored: torch.dtype, tmp_path: Path) -> None:
    from compiler.checkpoint_mapping.report import lines

    tensors = counted({"w": [3, 5]}, stored)
    write(tmp_path / "file.safetensors", tensors)
    artifact = holding({"w": [3, 5]}, rule(""))
    (line,) = lines(runtime.load_plan(artifact, tmp_path).rules[0])
    assert line.steps == ("to float32",)
    model = loaded(artifact, tmp_path)
    assert model.w.dtype == torch.float32
    assert torch.equal(model.w, tensors["w"].float())
    runtime.save_like(model, tmp_path / "back.safetensors", tmp_path / "file.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "file.safetensors").read_bytes()


def test_whole_numbers_do_not_become_floating_ones(tmp_path: Path) -> None:
    write(tmp_path / "file.safetensors", counted({"w": [3]}, torch.int64))
    (found,) = refused(holding({"w": [3]}, rule("")), tmp_path)
    assert found.code == "checkpoint-dtype"


def test_a_rule_in_a_block_speaks_of_the_names_in_the_block(tmp_path: Path) -> None:
    write(tmp_path / "file.safetensors", counted({"fc.weight": [3, 3], "fc.bias": [3]}))
    artifact = compiler.compile_text(
        "spec: 1\ninputs: {x: 'float[batch, 3]'}\n"
        "blocks:\n  Pretrained:\n    layers: {fc: Linear(3)}\n    init:\n    - /: checkpoint('file.safetensors')\n"
        "model:\n  - first: Pretrained\n  - second: Pretrained\n"
    )
    model = loaded(artifact, tmp_path)
    assert torch.equal(model.first.fc.weight, model.second.fc.weight)
    assert model.first.fc.weight is not model.second.fc.weight
    assert [rule.scope for rule in runtime.load_plan(artifact, tmp_path).rules] == ["first.", "second."]
    runtime.save_like(model, tmp_path / "back.safetensors", tmp_path / "file.safetensors")
    with torch.no_grad():
        model.second.fc.bias += 1
    with pytest.raises(runtime.FileError, match=r"`fc\.bias` went to several places"):
        runtime.save_like(model, tmp_path / "back.safetensors", tmp_path / "file.safetensors")


def test_checkpoints_may_be_parts_of_an_expression(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {"w": torch.tensor([2.0, 4.0])})
    write(tmp_path / "b.safetensors", {"w": torch.tensor([4.0, 0.0])})
    soup = "  - w: 0.5 * checkpoint('a.safetensors') + 0.5 * checkpoint('b.safetensors')\n"
    assert loaded(holding({"w": [2]}, soup), tmp_path).w.tolist() == [3, 2]


def test_the_long_form_is_the_call(folder: Path) -> None:
    long = "  - /:\n      checkpoint: ${path}\n      prefix: m.\n      rename: {norm: scale}\n      skip: [/head]\n"
    short = "  - /: \"checkpoint(path, prefix='m.', rename={'norm': 'scale'}, skip=['/head'])\"\n"
    shapes = {**MODEL, "scale.weight": [4]}
    del shapes["norm.weight"]
    more = "vars: {path: \"'file.safetensors'\"}\n"
    made = [holding(shapes, init, more) for init in (long, short)]
    texts = [[row.initialisation.text for row in each.plan.rows if row.initialisation] for each in made]
    assert texts[0] == texts[1]
    assert "rename={'norm': 'scale'}" in texts[0][0]
    states = [loaded(each, folder).state_dict() for each in made]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_order_of_renames_survives_a_file(folder: Path) -> None:
    """`norm` is renamed to what a later rule renames again, and would be left alone the other way round."""
    init = rule("prefix='m.', skip=['/head'], rename={'norm': 'a', 'a': 'z', 'z': 'scale'}")
    shapes = {"fc.weight": [4, 8], "fc.bias": [4], "scale.weight": [4]}
    model = loaded(holding(shapes, init), folder)
    runtime.save(model, folder / "model.safetensors")
    again = runtime.load(folder / "model.safetensors", device="cpu")
    runtime.save_like(again, folder / "back.safetensors", folder / "file.safetensors")
    assert (folder / "back.safetensors").read_bytes() == (folder / "file.safetensors").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        "prefix='n.', skip=['head'], rename={'norm': 'norm'}, transpose=['fc'], split={'fc': ['a', 'b']}",
        "prefix='m.', skip=['head'], rename={'nrm': 'norm'}, stack={'x': ['y', 'z']}, transpose=['w']",
        "prefix='m.', skip=['head'], split={'fcc': ['a', 'b']}, stack={'fc': ['a', 'b']}",
    ],
)
def test_what_follows_from_a_mistake_is_not_reported(arguments: str, folder: Path) -> None:
    assert [each.code for each in refused(holding(MODEL, rule(arguments)), folder)] == ["checkpoint-pattern"]
