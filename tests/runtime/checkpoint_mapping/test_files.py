"""Checkpoints on disk: a file, an index, a folder; and what is refused before a value is read."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import compiler
import runtime
from runtime.checkpoint_mapping.files import CheckpointError, open_checkpoint
from tests.runtime.checkpoint_mapping.conftest import counted, holding, loaded, refused, write

TENSORS = counted({"a": [2, 3], "b": [4], "c": [1]})
INDEX = "model.safetensors.index.json"


def sharded(folder: Path, change: Callable[[dict[str, Any]], object] = lambda index: None) -> Path:
    """A checkpoint in two files, with an index that may be changed."""
    shards = {"model-1.safetensors": ["a"], "model-2.safetensors": ["b", "c"]}
    for file, names in shards.items():
        write(folder / file, {name: TENSORS[name] for name in names})
    index = {"metadata": {}, "weight_map": {name: file for file, names in shards.items() for name in names}}
    change(index)
    (folder / INDEX).write_text(json.dumps(index))
    return folder


def assert_holds(path: Path, tensors: Mapping[str, Tensor] = TENSORS) -> None:
    found = open_checkpoint(path)
    assert {name: header.shape for name, header in found.headers.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    assert all(torch.equal(found.read(name), tensor) for name, tensor in tensors.items())


def why(path: Path) -> str:
    """What is said of a checkpoint that is refused."""
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    error = caught.value
    return " | ".join([error.code, error.message, *error.notes, *([error.help] if error.help else [])])


def test_a_file_and_a_folder_with_one(tmp_path: Path) -> None:
    assert_holds(write(tmp_path / "any.safetensors", TENSORS))
    assert_holds(tmp_path)
    write(tmp_path / "model.safetensors", {"x": TENSORS["a"]})
    assert_holds(tmp_path, {"x": TENSORS["a"]})


def test_an_index_by_its_folder_and_by_its_name(tmp_path: Path) -> None:
    assert_holds(sharded(tmp_path))
    assert_holds(tmp_path / INDEX)


def test_links_into_the_blobs_of_a_cache_are_followed(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = snapshot.parent.parent / "blobs"
    sharded(snapshot)
    blobs.mkdir()
    for file in list(snapshot.iterdir()):
        file.rename(blobs / file.name)
        file.symlink_to(blobs / file.name)
    assert_holds(snapshot)


def test_several_files_without_an_index_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", TENSORS)
    write(tmp_path / "b.safetensors", TENSORS)
    assert "several checkpoints | `a.safetensors`, `b.safetensors` | name one" in why(tmp_path)


def test_what_is_not_there_is_guessed(tmp_path: Path) -> None:
    write(tmp_path / "weights.safetensors", TENSORS)
    assert f"did you mean `{tmp_path}/weights.safetensors`?" in why(tmp_path / "weihgts.safetensors")
    assert "checkpoint-missing" in why(tmp_path / "nothing" / "like.safetensors")
    assert "checkpoint-missing" in why(tmp_path / ("n" * 5000))  # longer than a name may be


PICKLES = {
    "pytorch_model.bin": b"PK\x03\x04 a zip archive",
    "model.pt": b"\x80\x02}q\x00.",
    "model.safetensors": b"\x80\x04\x95 a pickle under another name",
}


@pytest.mark.parametrize("name", PICKLES)
def test_no_pickle_is_opened_and_the_way_out_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PICKLES[name])
    for path in (tmp_path / name, tmp_path):
        text = why(path)
        assert "checkpoint-broken" in text
        assert "can run code" in text
        assert "`save_pretrained`" in text


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    entry = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    header = json.dumps(entry).encode().ljust(0x0280)
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert path.read_bytes().startswith(b"\x80\x02")
    open_checkpoint(path)


def test_a_folder_with_nothing_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "no safetensors file | it holds config.json" in why(tmp_path)


def escape(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda index: index["weight_map"].update(a=name)


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a parent": (escape("../model-1.safetensors"), "outside its folder"),
    "a root": (escape("/etc/passwd.safetensors"), "outside its folder"),
    "a folder": (escape("sub/model-1.safetensors"), "outside its folder"),
    "a backslash": (escape("..\\model-1.safetensors"), "outside its folder"),
    "hidden": (escape("..safetensors"), "outside its folder"),
    "a zero": (escape("a\0.safetensors"), "outside its folder"),
    "a pickle": (escape("pytorch_model.bin"), "outside its folder"),
    "no name": (escape(7), "outside its folder"),  # type: ignore[arg-type]
    "not there": (escape("model-3.safetensors"), "names a file that is not there"),
    "another file": (escape("model-2.safetensors"), "do not agree | `model-2.safetensors` lacks `a`"),
    "one too many": (lambda index: index["weight_map"].update(d="model-1.safetensors"), "lacks `d`"),
    "one too few": (lambda index: index["weight_map"].pop("b"), "`model-2.safetensors` has `b`, which the index"),
    "no map": (lambda index: index.pop("weight_map"), "has no `weight_map`"),
    "an empty map": (lambda index: index["weight_map"].clear(), "has no `weight_map`"),
    "a list": (lambda index: index.update(weight_map=["a"]), "has no `weight_map`"),
}  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_index_is_refused(change: str, tmp_path: Path) -> None:
    make, words = HOSTILE[change]
    text = why(sharded(tmp_path / "folder", make))
    assert text.startswith("checkpoint-broken")
    assert words in text


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": {"a": "x", "a": "y"}}', "[" * 100_000])
def test_an_index_that_is_no_json_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(text)
    assert "is no index" in why(tmp_path)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "folder")
    (folder / "model-1.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "model-1.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert "a link that leaves its folder" in why(folder)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "model.safetensors", TENSORS).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "model.safetensors").write_bytes(whole[:length])
        assert "is no safetensors file" in why(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["x" * 600, "a.b"])
def test_names_have_a_length(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {name: TENSORS["a"]})
    if len(name) < 512:
        assert_holds(path, {name: TENSORS["a"]})
    else:
        assert "a name of 600 characters" in why(path)


def test_a_header_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    entry = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = f"{{{entry},{entry}}}".encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    assert "twice" in why(tmp_path)


def test_what_is_wrong_with_several_files_is_said_of_each(tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes(b"short")
    init = "  - a: checkpoint('none.safetensors')\n  - b: checkpoint('b.safetensors')\n"
    found = refused(holding({"a": [2, 3], "b": [4]}, init), tmp_path)
    assert [each.code for each in found] == ["checkpoint-missing", "checkpoint-broken"]
    assert [each.span.text for each in found if each.span] == ["'none.safetensors'", "'b.safetensors'"]


def test_compiling_opens_nothing_and_a_plan_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runtime.checkpoint_mapping.files as files

    artifact = holding({"a": [2, 3], "b": [4], "c": [1]}, "  - /: checkpoint('.')\n")
    sharded(tmp_path)
    opened: list[Path] = []
    real = files.safe_open
    monkeypatch.setattr(
        files, "safe_open", lambda path, **options: opened.append(path) or real(path, **options)
    )
    assert len(runtime.load_plan(artifact, tmp_path).rules[0].loads) == 3
    assert opened == []
    model = loaded(artifact, tmp_path)
    assert sorted(path.name for path in opened) == ["model-1.safetensors", "model-2.safetensors"]
    assert all(torch.equal(model.get_parameter(name), TENSORS[name]) for name in TENSORS)


def test_a_flipped_bit_in_a_model_of_our_own_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    runtime.save(loaded(holding({"w": [2]}, "  - w: ones\n"), tmp_path), path)
    reader = holding({"w": [2]}, "  - w: checkpoint('ours.safetensors')\n")
    assert loaded(reader, tmp_path).w.tolist() == [1, 1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    runtime.load_plan(reader, tmp_path)
    with pytest.raises(compiler.SpecError) as caught:
        loaded(reader, tmp_path)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("checkpoint-broken", f"`{path}` is damaged")
    assert found.span is not None
    assert found.span.text == "'ours.safetensors'"


def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert "no ordinary file" in why(tmp_path)


@pytest.mark.parametrize("name", ["pipe.safetensors", "pipe.safetensors.index.json"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    assert why(tmp_path / name) == f"checkpoint-broken | `{tmp_path / name}` is no ordinary file"
