"""Sealed files: every flipped bit and every cut is noticed, and whatever is in a header, no other error comes of it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from runtime.files.header import DTYPES, FileError
from runtime.files.sealed import (
    CHUNK,
    DIGITS,
    PLACE,
    Contents,
    _narrowed,
    _stored,
    check_digest,
    read_file,
    read_sealed,
    seal,
    unseal,
    write_sealed,
)

ABOUT = {"spec": {"b": 1, "a": ["é", "\\", '"digest":"']}, "imports": {}}
TENSORS = {
    "w": torch.arange(6.0).reshape(2, 3),
    "n": torch.tensor(3),
    "ключ": torch.tensor([True, False, True]),
    "z": torch.tensor([1 + 2j], dtype=torch.complex128),
    "none": torch.zeros(0, 4, dtype=torch.bfloat16),
}


def sealed(about: Mapping[str, Any] = ABOUT, tensors: Mapping[str, Tensor] = TENSORS) -> bytes:
    stream = io.BytesIO()
    seal(stream, "test", about, tensors)
    return stream.getvalue()


def opened(data: bytes, values: bool = True) -> Contents:
    return unseal(io.BytesIO(data), len(data), "file", values)


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found[name], tensor), name


class Compared(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    count = 0

    def __eq__(self, other: object) -> bool:
        Compared.count += 1
        return super().__eq__(other)

    def __hash__(self) -> int:
        return super().__hash__()


def test_a_list_of_names_is_not_searched_for_each_tensor() -> None:
    names = [f"t{number}" for number in range(200)]
    pair = torch.zeros(1, 2, dtype=torch.float64)
    found = _narrowed({"complex": names}, {Compared(name): pair for name in names})
    assert all(tensor.dtype == torch.complex128 for tensor in found.values())
    assert Compared.count <= 10 * len(names)


# What is sealed comes back, here and elsewhere.


def test_it_comes_back(tmp_path: Path) -> None:
    digest = write_sealed(tmp_path / "file", "test", ABOUT, TENSORS)
    found = read_sealed(tmp_path / "file", "test", "is none")
    assert_equal(found.tensors, TENSORS)
    assert found.digest == digest == found.about["digest"]
    assert {key: found.about[key] for key in ABOUT} == ABOUT
    assert (found.about["format"], found.about["kind"]) == (2, "test")
    with pytest.raises(FileError, match="file is no lamp"):
        read_sealed(tmp_path / "file", "lamp", "is no lamp")


def test_without_values_all_is_checked_and_nothing_kept() -> None:
    found = opened(sealed(), values=False)
    assert all(tensor.is_meta for tensor in found.tensors.values())
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
        name: tensor.shape for name, tensor in TENSORS.items()
    }
    damaged = bytearray(sealed())
    damaged[-1] ^= 1
    with pytest.raises(FileError, match="its digest is not that of its contents"):
        opened(bytes(damaged), values=False)


def test_the_same_values_give_the_same_bytes() -> None:
    again = {name: TENSORS[name].clone() for name in reversed(TENSORS)}
    again["w"] = again["w"].T.contiguous().T  # strides are no values
    assert sealed(dict(reversed(ABOUT.items())), again) == sealed()
    assert sealed({**ABOUT, "spec": {"a": 0}}) != sealed()


def test_the_digest_is_that_of_the_file_with_its_own_place_in_zeros() -> None:
    data = sealed()
    zeros = data[:PLACE] + b"0" * DIGITS + data[PLACE + DIGITS :]
    assert blake3(zeros).hexdigest() == data[PLACE : PLACE + DIGITS].decode() == opened(data).digest


def test_the_header_has_one_key_and_one_form() -> None:
    data = sealed()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert (8 + length) % 64 == 0
    assert list(header) == ["__metadata__", *sorted(TENSORS)]
    assert list(header["__metadata__"]) == ["blockprint"]
    about = json.loads(header["__metadata__"]["blockprint"])
    assert list(about) == ["digest", "complex", "format", "imports", "kind", "spec"]
    assert list(about["spec"]) == ["b", "a"]  # the order of a spec is a part of it
    for entry in header.values():
        if "dtype" in entry:
            assert entry["data_offsets"][0] % DTYPES[entry["dtype"]].itemsize == 0


def test_stock_readers_read_the_weights(tmp_path: Path) -> None:
    plain = {name: tensor for name, tensor in TENSORS.items() if name != "z"}
    write_sealed(tmp_path / "file", "test", ABOUT, plain)
    assert_equal(load_file(tmp_path / "file"), plain)
    with safe_open(tmp_path / "file", framework="np") as file:
        assert file.get_tensor("w").tolist() == TENSORS["w"].tolist()


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_dtype_reads_as_safetensors_reads_it(dtype: torch.dtype, tmp_path: Path) -> None:
    bits = torch.randint(
        0, 2 if dtype is torch.bool else 256, (64,), generator=torch.Generator().manual_seed(0)
    )
    tensors = {"x": bits.to(torch.uint8).view(dtype), "y": torch.zeros(2, 0, dtype=dtype)}
    write_sealed(tmp_path / "ours", "test", {}, tensors)
    save_file(tensors, tmp_path / "theirs")
    stock = load_file(tmp_path / "ours")
    for found in (read_file(tmp_path / "ours").tensors, read_file(tmp_path / "theirs").tensors, stock):
        assert {name: (t.dtype, t.shape) for name, t in found.items()} == {
            name: (t.dtype, t.shape) for name, t in tensors.items()
        }
        assert torch.equal(found["x"].view(torch.uint8), tensors["x"].view(torch.uint8))


def test_large_tensors_go_through_in_pieces(tmp_path: Path) -> None:
    tensors = {"x": torch.arange(3 * CHUNK // 4 + 5), "y": torch.arange(7).to(torch.int8)}
    write_sealed(tmp_path / "file", "test", {}, tensors)
    assert_equal(read_file(tmp_path / "file").tensors, tensors)
    assert read_file(tmp_path / "file", values=False).digest == read_file(tmp_path / "file").digest


def test_what_is_read_is_no_view_of_the_file(tmp_path: Path) -> None:
    write_sealed(tmp_path / "file", "test", {}, TENSORS)
    found = read_file(tmp_path / "file").tensors
    (tmp_path / "file").write_bytes(b"\xff" * (tmp_path / "file").stat().st_size)
    assert_equal(found, TENSORS)
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.values())


def test_nothing_is_copied_that_need_not_be() -> None:
    tensor = torch.arange(6.0)
    assert _stored(tensor).data_ptr() == tensor.data_ptr()
    assert _stored(nn.Parameter(tensor)).data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_a_name_that_no_file_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"__metadata__|surrogates"):
        write_sealed(tmp_path / "file", "test", {}, {name: torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


# Damage.


def test_every_flipped_bit_is_noticed() -> None:
    data = bytearray(sealed())
    missed = []
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        try:
            contents = opened(bytes(data))
        except FileError:
            continue
        finally:
            data[bit // 8] ^= 1 << bit % 8
        if contents.about:  # else it is none of ours any more, and `read_sealed` says so
            missed.append(bit)
    assert missed == []


def test_every_cut_and_everything_appended_is_noticed() -> None:
    data = sealed()
    for length in range(len(data)):
        with pytest.raises(FileError):
            opened(data[:length])
    for more in (b"\0", b" ", b"{}", data):
        with pytest.raises(FileError, match="is damaged"):
            opened(data + more)


def test_other_damage_is_noticed() -> None:
    data = sealed()
    half = len(data) // 2
    for damaged in (
        data[:half] + bytes(len(data) - half),
        data[:half] + data[half + 1 :] + b"\0",
        data[: PLACE + 10] + data[PLACE + 10 : PLACE + DIGITS].upper() + data[PLACE + DIGITS :],
        data.replace(b"\\\\u00e9", b"\\\\u00e8"),
    ):
        assert damaged != data
        with pytest.raises(FileError, match="Take another copy of it, or save it again"):
            opened(damaged)


def test_a_file_that_changes_while_it_is_read_is_noticed() -> None:
    data = sealed()
    with pytest.raises(FileError, match="something follows its end"):
        unseal(io.BytesIO(data + b"more"), len(data), "file")
    with pytest.raises(FileError, match="it is cut off"):
        unseal(io.BytesIO(data[:-5]), len(data), "file")


# The digest that is expected.


def test_another_file_than_the_expected_one_is_refused(tmp_path: Path) -> None:
    digest = write_sealed(tmp_path / "one", "test", ABOUT, TENSORS)
    other = write_sealed(tmp_path / "other", "test", {}, TENSORS)
    assert read_file(tmp_path / "one", digest.upper()).digest == digest
    with pytest.raises(FileError, match=f"has the digest {other}, and {digest} is expected"):
        read_file(tmp_path / "other", digest)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(FileError, match="has no digest"):
        read_file(tmp_path / "foreign", digest)
    for wrong in ("", digest[:-1], digest[:-1] + "g", "blake3"):
        with pytest.raises(ValueError, match="a digest has 64 digits"):
            check_digest(wrong)


# Hostile headers.


def framed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: Any = (1,), offsets: Any = (0, 4), dtype: Any = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


FOUR, ENTRY = bytes(4), json.dumps(entry()).encode()
HOSTILE = {
    "empty": b"",
    "cut in its length": b"\x01\0\0",
    "no JSON": framed(b"{'x': 1}"),
    "no UTF-8": framed(b'{"\xff": 1}'),
    "no mapping": framed([]),
    "a number": framed(3),
    "longer than the file": framed({}, length=1000),
    "as long as can be": framed({}, length=2**64 - 1),
    "a duplicate key": framed(b'{"x":' + ENTRY + b',"x":' + ENTRY + b"}", FOUR),
    "a duplicate key inside": framed(b'{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', FOUR),
    "nested too deep": framed(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "nested deep in metadata": framed({"__metadata__": {"blockprint": "[" * 100_000}}),
    "no number": framed(b'{"x":NaN}'),
    "a long number": framed(b'{"x":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,4]}}', FOUR),
    "metadata that are a list": framed({"__metadata__": []}),
    "metadata that are no texts": framed({"__metadata__": {"blockprint": {}}}),
    "an entry that is none": framed({"x": "F32"}),
    "an entry with less": framed({"x": {"dtype": "F32", "shape": [1]}}, FOUR),
    "an entry with more": framed({"x": entry(code="print()")}, FOUR),
    "an unknown dtype": framed({"x": entry(dtype="F33")}, FOUR),
    "a dtype that is a list": framed({"x": entry(dtype=["F32"])}, FOUR),
    "a negative size": framed({"x": entry(shape=[-1], offsets=[0, -4])}, FOUR),
    "two negative sizes": framed({"x": entry(shape=[-1, -1])}, FOUR),
    "a size that is true": framed({"x": entry(shape=[True])}, FOUR),
    "a size that is no integer": framed({"x": entry(shape=[1.0])}, FOUR),
    "a huge size": framed({"x": entry(shape=[2**62])}, FOUR),
    "huge sizes beside none": framed({"x": entry(shape=[0, 2**40, 2**40], offsets=[0, 0])}),
    "too many sizes": framed({"x": entry(shape=[1] * 10_000)}, FOUR),
    "a shape that does not fit": framed({"x": entry(shape=[2])}, FOUR),
    "offsets that overlap": framed({"x": entry(), "y": entry()}, FOUR),
    "offsets that overlap beside a hole": framed(
        {"x": entry(), "y": entry(), "z": entry(offsets=[8, 12])}, bytes(12)
    ),
    "more data than any memory holds": framed({"x": entry(shape=[2**50], offsets=[0, 2**52])}, FOUR),
    "offsets with a hole": framed({"x": entry(), "y": entry(offsets=[8, 12])}, bytes(12)),
    "offsets that begin late": framed({"x": entry(offsets=[4, 8])}, bytes(8)),
    "offsets beyond the end": framed({"x": entry(shape=[2], offsets=[0, 8])}, FOUR),
    "offsets backwards": framed({"x": entry(shape=[], offsets=[4, 0])}, FOUR),
    "three offsets": framed({"x": entry(offsets=[0, 4, 8])}, FOUR),
    "data that no tensor has": framed({"x": entry()}, bytes(5)),
    "data without tensors": framed({}, FOUR),
    "our key in another form": framed({"__metadata__": {"blockprint": '{"format": 2}'}}),
    "our key with no mapping": framed({"__metadata__": {"blockprint": "[]"}}),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_header_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    for values in (True, False):
        with pytest.raises(FileError, match=r"is no safetensors file|is damaged"):
            read_file(tmp_path / "file", values=values)


def resealed(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> bytes:
    """A file with a right digest whose metadata is what one likes; its first key is ours."""
    header = sealed({}, tensors)
    about = json.dumps({"__metadata__": metadata}, separators=(",", ":"))[:-1].encode()
    length = int.from_bytes(header[:8], "little")
    entries = header[8 : 8 + length].split(b"},", 1)[1]
    data = bytearray(framed(about + b"," + entries, header[8 + length :]))
    data[PLACE : PLACE + DIGITS] = b"0" * DIGITS
    data[PLACE : PLACE + DIGITS] = blake3(bytes(data)).hexdigest().encode()
    return bytes(data)


ZEROS = "0" * DIGITS


@pytest.mark.parametrize(
    "rest",
    [
        "}",
        ',"kind":"test"}',
        ',"format":2}',
        ',"format":2,"kind":["test"]}',
        ',"format":"2","kind":"test"}',
        ',"format":1,"kind":"test"}',
        ',"format":2,"format":2,"kind":"test"}',
        ',"format":2,"kind":"test","complex":3}',
        ',"format":2,"kind":"test","complex":["w"]}',
        ',"format":2,"kind":"test","complex":["none"]}',
        ',"format":2,"kind":"test","complex":[["w"]]}',
        ',"format":2,"kind":"test"',
        ',"format":2,"kind":' + "[" * 100_000,
        ',"format":NaN,"kind":"test"}',
        ',"format":2,"kind":"test","more":NaN}',
    ],
)
def test_a_right_digest_does_not_make_it_believed(rest: str) -> None:
    data = resealed({"blockprint": f'{{"digest":"{ZEROS}"{rest}'}, {"w": torch.zeros(3)})
    with pytest.raises(FileError, match="is damaged"):
        opened(data)


def test_a_second_key_is_refused() -> None:
    metadata = {"blockprint": f'{{"digest":"{ZEROS}","format":2,"kind":"test"}}'}
    assert opened(resealed(metadata, {"w": torch.zeros(3)})).about["kind"] == "test"
    with pytest.raises(FileError, match="its metadata are not those"):
        opened(resealed({**metadata, "more": ""}, {"w": torch.zeros(3)}))


def test_a_newer_format_is_refused_by_name() -> None:
    ours = resealed({"blockprint": f'{{"digest":"{ZEROS}","format":3,"kind":"test"}}'}, {"w": torch.zeros(3)})
    other = framed({"__metadata__": {"blockprint": '{"format": 3, "sum": "..."}'}})
    for data in (ours, other):
        with pytest.raises(FileError, match="is of the format 3, and this version of Blockprint reads"):
            opened(data)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no ordinary file"):
        read_file("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="is no ordinary file"):
        read_file(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


@pytest.mark.parametrize(
    "metadata", [{"blockprint-tensors/1": '"x"'}, {"format": "blockprint-checkpoint/1", "state": "{}"}]
)
def test_first_formats_of_tensors_and_checkpoints_are_refused_by_name(
    metadata: dict[str, str], tmp_path: Path
) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "file", metadata)
    with pytest.raises(FileError, match=r"is of the format blockprint-\w+/1, .* is read no more"):
        read_sealed(tmp_path / "file", "test", "is none")


def test_a_header_that_no_reader_accepts_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.files.header.LONGEST", 100)
    with pytest.raises(ValueError, match="the header takes"):
        sealed()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([*DTYPES, 0, 4]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {"dtype": st.sampled_from([*DTYPES]) | json_values, "shape": json_values, "data_offsets": json_values},
    optional={"more": json_values},
)
headers = st.dictionaries(st.sampled_from(["x", "y", "__metadata__"]), entries | json_values, max_size=3)


@given(headers | json_values, st.binary(max_size=16))
@example({"x": entry()}, FOUR)
def test_no_other_error_comes_of_any_header(header: Any, data: bytes) -> None:
    try:
        found = opened(framed(header, data))
    except FileError:
        return
    assert found.digest is None  # ordinary safetensors


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 200))
def test_no_other_error_comes_of_any_bytes(noise: bytes, at: int, length: int) -> None:
    data = sealed()
    noisy = data[:at] + noise + data[at + length :]
    if noisy != data:
        with pytest.raises(FileError):
            opened(noisy)
