"""A model written back as the checkpoint that it came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import compiler
import runtime
from tests.runtime.checkpoint_mapping.conftest import counted, holding, loaded, write
from tests.runtime.checkpoint_mapping.test_files import INDEX, TENSORS, sharded

MODEL = {"x.a": [2, 3], "x.b": [4]}
INIT = "  - x: \"checkpoint('checkpoint', rename={'/': 'x'}, skip=['/c'])\"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a library leaves it: weights in two files, a configuration, and weights in other formats."""
    folder = sharded(tmp_path / "checkpoint")
    (folder / "config.json").write_text('{"kind": "toy"}')
    (folder / "vocab.txt").write_text("a\nb\n")
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    (folder / ".cache").write_text("")
    write(folder / "other.safetensors", TENSORS)
    (tmp_path / "secret").write_text("secret")
    (folder / "link.json").symlink_to(tmp_path / "secret")
    return tmp_path


def changed(folder: Path, init: str = INIT) -> torch.nn.Module:
    model = loaded(holding(MODEL, init), folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.neg_()
    return model


def test_a_folder_is_written_as_it_was(folder: Path) -> None:
    written = runtime.save_like(changed(folder), folder / "back", folder / "checkpoint")
    names = [INDEX, "config.json", "model-1.safetensors", "model-2.safetensors", "vocab.txt"]
    assert sorted(each.name for each in (folder / "back").iterdir()) == sorted(names)
    assert (written.tensors, written.kept) == (2, 1)
    assert sorted(written.files) == sorted(str(folder / "back" / name) for name in names)
    for name in (INDEX, "config.json", "vocab.txt"):
        assert (folder / "back" / name).read_bytes() == (folder / "checkpoint" / name).read_bytes()
    first, second = (load_file(folder / "back" / f"model-{at}.safetensors") for at in (1, 2))
    assert torch.equal(first["a"], -TENSORS["a"])
    assert torch.equal(second["b"], -TENSORS["b"])
    assert torch.equal(second["c"], TENSORS["c"])  # skipped: as it was
    with safe_open(folder / "back" / "model-1.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = write(tmp_path / "checkpoint", TENSORS)
    model = changed(tmp_path)
    assert runtime.save_like(model, path, path).files == (str(path),)  # over the original itself
    found = load_file(path)
    assert torch.equal(found["a"], -TENSORS["a"])
    assert torch.equal(found["c"], TENSORS["c"])


def test_dtypes_are_those_of_the_original(tmp_path: Path) -> None:
    path = write(tmp_path / "checkpoint", counted({"a": [2, 3], "b": [4], "c": [1]}, torch.float16))
    runtime.save_like(changed(tmp_path), tmp_path / "back", path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "back").values()} == {torch.float16}


def test_nothing_that_is_there_is_written_over(folder: Path) -> None:
    model = changed(folder)
    before = {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    with pytest.raises(FileExistsError, match="is there already"):
        runtime.save_like(model, folder / "checkpoint", folder / "checkpoint")
    assert {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()} == before
    (folder / "empty").mkdir()
    runtime.save_like(model, folder / "empty", folder / "checkpoint")


def test_a_save_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space left")

    model = changed(folder)
    before = sorted(os.listdir(folder))
    monkeypatch.setattr("runtime.checkpoint_mapping.saving._copy", full)
    with pytest.raises(OSError, match="no space left"):
        runtime.save_like(model, folder / "back", folder / "checkpoint")
    assert sorted(os.listdir(folder)) == before


def test_a_tensor_that_has_no_place_is_not_dropped_in_silence(folder: Path) -> None:
    model = loaded(holding({**MODEL, "head": [3]}, INIT + "  - head: ones\n"), folder)
    with pytest.raises(runtime.FileError, match="has no place for 1 tensor of Holder\nhead"):
        runtime.save_like(model, folder / "back", folder / "checkpoint")
    with pytest.raises(runtime.FileError, match="`haed` names no tensor"):
        runtime.save_like(model, folder / "back", folder / "checkpoint", leave=["haed"])
    runtime.save_like(model, folder / "back", folder / "checkpoint", leave=["head"])


def test_a_checkpoint_that_lies_elsewhere_by_now(folder: Path) -> None:
    model = changed(folder)
    (folder / "checkpoint").rename(folder / "moved")
    runtime.save_like(model, folder / "back", folder / "moved")
    with pytest.raises(runtime.FileError, match="there is no file or folder"):
        runtime.save_like(model, folder / "again", folder / "checkpoint")


def test_which_of_several_checkpoints_is_meant(folder: Path) -> None:
    write(folder / "head.safetensors", {"head": torch.ones(3)})
    init = INIT + "  - head: checkpoint('head.safetensors')\n"
    model = loaded(holding({**MODEL, "head": [3]}, init), folder)
    runtime.save_like(model, folder / "one", folder / "checkpoint", leave=["head"])
    runtime.save_like(model, folder / "two.safetensors", folder / "head.safetensors", leave=["x"])
    assert set(load_file(folder / "two.safetensors")) == {"head"}
    with pytest.raises(runtime.FileError, match=r"is none of the checkpoints of Holder\nthey are"):
        runtime.save_like(model, folder / "three", folder / "one")


def test_a_checkpoint_that_does_not_fit_the_rule_is_refused(folder: Path) -> None:
    model = changed(folder)
    path = write(folder / "foreign.safetensors", {"z": torch.ones(3)})
    with pytest.raises(compiler.SpecError) as caught:
        runtime.save_like(model, folder / "back.safetensors", path)
    assert {each.code for each in caught.value.diagnostics} >= {"checkpoint-tensor"}
    assert not (folder / "back.safetensors").exists()


def test_a_model_that_came_from_nowhere_has_no_names_to_write(tmp_path: Path) -> None:
    model = loaded(holding({"w": [2]}, "  - w: ones\n"), tmp_path)
    with pytest.raises(runtime.FileError, match="no rule of Holder reads a checkpoint"):
        runtime.save_like(model, tmp_path / "back", tmp_path)
    with pytest.raises(TypeError):
        runtime.save_like(torch.nn.Linear(2, 2), tmp_path / "back", tmp_path)


def test_parts_that_went_to_several_rules_are_not_put_together(tmp_path: Path) -> None:
    write(tmp_path / "file", {"ab": torch.arange(4.0)})
    call = "checkpoint('file', split={'ab': ['a', 'b']})"
    model = loaded(holding({"a": [2], "b": [2]}, f'  - a: "{call}"\n  - b: "{call}"\n'), tmp_path)
    assert (model.a.tolist(), model.b.tolist()) == ([0, 1], [2, 3])
    with pytest.raises(runtime.FileError, match="`ab` is taken in parts by several rules"):
        runtime.save_like(model, tmp_path / "back", tmp_path / "file")


def test_a_file_that_vouches_for_its_values_is_not_imitated(tmp_path: Path) -> None:
    runtime.save(loaded(holding({"w": [2]}, "  - w: ones\n"), tmp_path), tmp_path / "ours.safetensors")
    model = loaded(holding({"w": [2]}, "  - w: checkpoint('ours.safetensors')\n"), tmp_path)
    with pytest.raises(runtime.FileError, match="is a saved model of Blockprint"):
        runtime.save_like(model, tmp_path / "back.safetensors", tmp_path / "ours.safetensors")
