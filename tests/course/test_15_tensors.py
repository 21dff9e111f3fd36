"""System 15: a tensor, a list and a dictionary of tensors on disk, read back bit for bit."""

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from twins import built, compiled, drawn, tensors_in

import runtime
from runtime import FileError, load_tensors, save_tensors
from runtime.files.sealed import write_sealed


def bits(tensor: Tensor) -> bytes:
    plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return plain.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_bit_equal(found: Any, wanted: Any) -> None:
    if isinstance(wanted, Tensor):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert bits(found) == bits(wanted)
        return
    assert type(found) is type(wanted)
    assert len(found) == len(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        found, wanted = found.values(), wanted.values()
    for each, other in zip(found, wanted, strict=True):
        assert_bit_equal(each, other)


def round_trip(value: Any, folder: Path) -> Any:
    save_tensors(value, folder / "tensors.safetensors")
    return load_tensors(folder / "tensors.safetensors")


X, Y = drawn(4), torch.zeros(4)


@pytest.mark.parametrize(
    "value",
    [
        X,
        [X, Y],
        {"x": X, "y": Y},
        (X, [Y, {"deep": (Y + 1,)}]),
        [],
        {},
        {"a.b": X, "a": {"b": Y}},
        {"__metadata__": X, "tensor": Y, "": X + 1, "ключ": Y + 1},
    ],
)
def test_structures_come_back(value: Any, tmp_path: Path) -> None:
    assert_bit_equal(round_trip(value, tmp_path), value)


@pytest.mark.parametrize(
    "kind", ["float16 bfloat16 float32 float64 complex64 complex128", "int8 int64 uint8 bool"]
)
def test_values_of_every_kind_come_back(kind: str, tmp_path: Path) -> None:
    random = torch.randint(0, 2, (3, 5), generator=torch.Generator().manual_seed(0))
    tensors = {name: random.to(getattr(torch, name)) for name in kind.split()}
    assert_bit_equal(round_trip(tensors, tmp_path), tensors)


def test_every_bit_pattern_comes_back(tmp_path: Path) -> None:
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    value = [
        patterns.view(torch.float16),
        patterns.view(torch.bfloat16),
    ]  # all NaNs, infinities and subnormals
    assert_bit_equal(round_trip(value, tmp_path), value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.0),
        torch.empty(0, 3),
        drawn(4, 5).T,
        drawn(4, 5)[:, ::2],
        torch.view_as_complex(drawn(3, 2)).conj(),
    ],
    ids=["scalar", "empty", "transposed", "strided", "conjugate"],
)
def test_tensors_of_every_layout_come_back(tensor: Tensor, tmp_path: Path) -> None:
    assert_bit_equal(round_trip(tensor, tmp_path), tensor.resolve_conj())


def test_one_tensor_in_two_places_is_one_again(tmp_path: Path) -> None:
    first, second = round_trip([X, {"again": X}], tmp_path)
    assert first is second["again"]


def test_tensors_that_share_memory_do_not_disturb_each_other(tmp_path: Path) -> None:
    base = drawn(4, 5)
    value = [base, base[1:3], base.T]
    assert_bit_equal(round_trip(value, tmp_path), value)


def test_a_state_dict_is_a_dictionary_of_tensors(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    state = round_trip(model.state_dict(), tmp_path)
    assert type(state) is dict
    clone = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    clone.load_state_dict(state)
    assert torch.equal(clone(drawn(2, 20)), model(drawn(2, 20)))


def test_what_a_model_returns_comes_back(tmp_path: Path) -> None:
    model = built("15_tensors")
    output = model(X)
    assert list(output) == ["one", "list", "dictionary"]
    assert len(tensors_in(output)) == len(tensors_in(compiled("15_tensors").inferred.output)) == 5
    found = round_trip(output, tmp_path)
    assert_bit_equal(
        found, {"one": X, "list": [X, torch.arange(4)], "dictionary": {"x": X, "steps": torch.arange(4)}}
    )


def test_nothing_is_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(f"pickle.{name}", refuse)
    monkeypatch.setattr("torch.save", refuse)
    monkeypatch.setattr("torch.load", refuse)
    assert_bit_equal(round_trip([X, {"y": Y}], tmp_path), [X, {"y": Y}])


def test_the_file_is_ordinary_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "tensors.safetensors"
    save_tensors({"x": X, "layers": [Y, Y + 1]}, path)
    assert_bit_equal(load_file(path), {"layers.0": Y, "layers.1": Y + 1, "x": X})
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert set(header) == {"__metadata__", "x", "layers.0", "layers.1"}
    assert len(data) == 8 + length + 3 * 4 * 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "the value is a int, and no tensor"),
        ({"a": [X, "text"]}, "`a.1` is a str, and no tensor"),
        ({1: X}, "the value is a dict with keys that are no texts, and no tensor"),
        ([X, X.to_sparse()], "`1` is sparse, quantised or on the meta device"),
        ([X.to("meta")], "`0` is sparse, quantised or on the meta device"),
    ],
)
def test_what_holds_no_tensors_is_refused(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        save_tensors(value, tmp_path / "tensors.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_the_older_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tensors.safetensors"
    save_tensors(X, path)

    def fail(stream: BinaryIO, *_: object) -> None:
        stream.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("runtime.files.sealed.seal", fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_tensors(Y, path)
    assert_bit_equal(load_tensors(path), X)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no safetensors at all")
    with pytest.raises(FileError, match="is no safetensors file"):
        load_tensors(tmp_path / "text")
    save_file({"x": X}, tmp_path / "foreign")
    with pytest.raises(FileError, match="was not saved by `save_tensors`"):
        load_tensors(tmp_path / "foreign")
    runtime.save(built("01_mlp"), tmp_path / "model")
    with pytest.raises(FileError, match="was not saved by `save_tensors`"):
        load_tensors(tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "nothing")


@pytest.mark.parametrize(
    "structure",
    ["y", ["x", "y"], {"tuple": "x"}, {"unknown": []}, 3, {"complex": "x"}, None],
)
def test_a_structure_that_does_not_fit_is_refused(structure: object, tmp_path: Path) -> None:
    write_sealed(tmp_path / "damaged", "tensors", {"structure": structure}, {"x": X})
    with pytest.raises(FileError, match="is damaged"):
        load_tensors(tmp_path / "damaged")
