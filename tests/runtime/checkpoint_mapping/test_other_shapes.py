"""What a file holds in another shape: an expression makes the tensor of it, and only the result must fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import compiler
import runtime
from compiler.checkpoint_mapping.report import lines
from runtime.checkpoint_mapping.loading import load_plan
from tests.runtime.checkpoint_mapping.conftest import Shapes, counted, holding, loaded, refused, write

FILE: Shapes = {"words": [5, 4], "conv": [2, 3, 3, 3], "places": [16, 4], "head": [7, 4]}
THEIRS = "checkpoint('file.safetensors')"
GRID = f"permute(reshape({THEIRS}, [1, 4, 4, 4]), [0, 3, 1, 2])"
POSITIONS = f"interpolate({GRID}, size=[6, 6], mode='bicubic', align_corners=False)"
MODEL: Shapes = {"words": [8, 4], "conv": [2, 1, 3, 3], "places": [36, 4], "head": [3, 4]}
INIT = f"""
  - words: cat([{THEIRS}, normal(std=0.02)[:3]])
  - conv: sum({THEIRS}, dim=1, keepdim=True)
  - places: flatten(permute({POSITIONS}, [0, 2, 3, 1]), 0, 2)
  - head: {THEIRS}[:3]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "file.safetensors", counted(FILE))
    return tmp_path


def by_hand(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What somebody writes who loads the file in PyTorch; the drawn rows are left out."""
    grid = theirs["places"].reshape(1, 4, 4, 4).permute(0, 3, 1, 2)
    grown = F.interpolate(grid, size=(6, 6), mode="bicubic", align_corners=False)
    return {
        "words": theirs["words"],
        "conv": theirs["conv"].sum(dim=1, keepdim=True),
        "places": grown.permute(0, 2, 3, 1).flatten(0, 2),
        "head": theirs["head"][:3],
    }


def test_what_is_made_of_it_is_what_one_makes_by_hand(folder: Path) -> None:
    state = loaded(holding(MODEL, INIT), folder).state_dict()
    for name, expected in by_hand(counted(FILE)).items():
        assert torch.equal(state[name][: len(expected)], expected), name
    drawn = state["words"][5:]
    assert drawn.shape == (3, 4)
    assert 0 < drawn.std() < 0.1


def test_what_an_initialiser_draws_inside_has_the_shape_of_the_parameter(folder: Path) -> None:
    grown = loaded(holding(MODEL, INIT), folder)
    alone = loaded(holding({"words": [8, 4]}, "  - words: normal(std=0.02)\n"), folder)
    assert torch.equal(grown.words[5:], alone.words[:3])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
def test_a_table_of_any_size_is_grown_or_cut(
    tmp_path_factory: pytest.TempPathFactory, old: int, new: int, width: int
) -> None:
    folder = tmp_path_factory.mktemp("grown")
    write(folder / "file.safetensors", counted({"words": [old, width]}))
    rule = f"cat([{THEIRS}, ones[{old}:]])" if new > old else f"{THEIRS}[:{new}]"
    table = loaded(holding({"words": [new, width]}, f"  - words: {rule}\n"), folder).words
    kept = min(old, new)
    assert torch.equal(table[:kept], counted({"words": [old, width]})["words"][:kept])
    assert torch.equal(table[kept:], torch.ones(new - kept, width))


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        (f"cat([{THEIRS}, normal[:2]])", "checkpoint-shape", ["[7, 4]", "`words` has the shape [8, 4]", "[5, 4]"]),
        (f"{THEIRS}[:1]", "checkpoint-shape", ["[1, 4]"]),  # nothing is repeated
        (f"reshape({THEIRS}, [3, 4])", "bad-initializer", ["20 elements do not fit", "[5, 4]"]),
        (f"{THEIRS} + zeros", "bad-initializer", ["5 and 8"]),
        (f"mixture([0.5, zeros], [0.5, {THEIRS}])", "bad-initializer", ["[5, 4]"]),
        (THEIRS, "checkpoint-shape", ["normal(std=0.02)[5:]", "skip=['/words']", "a later rule"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_as_soon_as_the_headers_are_read(
    tmp_path: Path, rule: str, code: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file.safetensors", counted({"words": [5, 4]}))
    monkeypatch.setattr("runtime.checkpoint_mapping.files.Checkpoint.read", None)
    (found,) = refused(holding({"words": [8, 4]}, f"  - words: {rule}\n"), tmp_path)
    assert found.code == code
    said = " ".join([found.message, *found.notes, found.help or ""])
    assert all(each in said for each in words), said


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (f"reshape({THEIRS}, [1, 99]) * nope", "unknown-initializer"),
        (f"reshape({THEIRS}, [1, 99]) * log(0)", "evaluation"),
        (f"cat([{THEIRS}, nromal])", "unknown-initializer"),
        ("cat([reshape(checkpoint('a'), [99]), checkpoint('')])", "checkpoint-argument"),
    ],
)
def test_what_has_nothing_to_do_with_shapes_is_said_when_the_spec_is_compiled(rule: str, code: str) -> None:
    with pytest.raises(compiler.SpecError) as caught:
        holding({"words": [8, 4]}, f"  - words: {rule}\n")
    assert [each.code for each in caught.value.diagnostics] == [code]


def test_work_is_measured_by_the_shapes_of_the_files(tmp_path: Path) -> None:
    write(tmp_path / "file.safetensors", counted({"words": [64, 64]}))
    rule = f"sum(tile({THEIRS}, [4096, 4096])) * ones"
    with pytest.raises(compiler.SpecError) as caught:
        loaded(holding({"words": [1, 1]}, f"  - words: {rule}\n"), tmp_path)
    assert {each.code for each in caught.value.diagnostics} <= {"too-much-work", "too-large-to-build"}


def test_the_plan_says_what_is_computed_with(folder: Path) -> None:
    (line, *_) = (each for rule in load_plan(holding(MODEL, INIT), folder).rules for each in lines(rule))
    assert line.steps == ("in an expression",)


def test_what_was_computed_is_not_written_back(folder: Path) -> None:
    model = loaded(holding(MODEL, INIT), folder)
    with pytest.raises(
        runtime.FileError, match=r"`conv` has the shape \[2, 3, 3, 3\] .* \[2, 1, 3, 3\] in the model"
    ):
        runtime.save_like(model, folder / "back.safetensors", folder / "file.safetensors")


@pytest.mark.parametrize(
    ("names", "way"),
    [
        (["module.a.weight", "module.b"], "prefix='module.'"),
        (["_orig_mod.a.weight", "_orig_mod.b"], "prefix='_orig_mod.'"),
        (["module._orig_mod.a.weight", "module._orig_mod.b"], "prefix='module._orig_mod.'"),
        (["a._orig_mod.weight", "b"], "rename={'_orig_mod': '/'}"),
    ],
)
def test_traces_of_wrappers_are_told_and_taken_away(tmp_path: Path, names: list[str], way: str) -> None:
    write(tmp_path / "file.safetensors", counted({name: [2] for name in names}))
    model: Shapes = {"a.weight": [2], "b": [2]}
    found = refused(holding(model, f"  - /: {THEIRS}\n"), tmp_path)
    assert (found[0].help or "").endswith(f"give `{way}`")
    told = holding(model, f'  - /: "{THEIRS[:-1]}, {way})"\n')
    assert loaded(told, tmp_path).b.tolist() == [2, 3]
