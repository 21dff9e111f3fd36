"""The digest of a saved model: shown where it is saved, and demanded where one is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

import compiler
import runtime
from tests.compiler.cli.conftest import Call

READERS = [("run",), ("params",), ("summary",), ("emit",), ("explain", "body.0.0.weight")]


@pytest.fixture
def model(mlp: Path, tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    runtime.save(runtime.build(compiler.compile(mlp), device="cpu"), path)
    return path


def test_the_digest_is_shown_where_a_model_is_saved(
    cli: Call, mlp: Path, model: Path, tmp_path: Path
) -> None:
    result = cli("run", mlp, "--save", tmp_path / "new.safetensors")
    digest = runtime.save(runtime.load(model), model)
    assert result.stderr == f"saved {tmp_path / 'new.safetensors'}\ndigest {digest}\n"
    assert f"digest {digest}" in cli("summary", model).stdout.splitlines()
    assert json.loads(cli("summary", model, "--format", "json").stdout)["digest"] == digest
    assert json.loads(cli("summary", mlp, "--format", "json").stdout)["digest"] is None


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader[0])
def test_every_verb_that_reads_a_model_demands_a_digest(
    reader: tuple[str, ...], cli: Call, mlp: Path, model: Path
) -> None:
    verb, *more = reader
    digest = runtime.save(runtime.load(model), model)
    assert cli(verb, model, *more, "--expect-digest", digest).exit_code == 0
    other = cli(verb, model, *more, "--expect-digest", "0" * 64)
    assert other.exit_code == 1
    assert f"has the digest {digest}, and {'0' * 64} is expected" in other.stderr
    none = cli(verb, model, *more, "--expect-digest", "0")
    assert none.exit_code == 2
    assert none.stderr == "error: a digest has 64 digits of 0-9 and a-f, and '0' is none\n"
    spec = cli(verb, mlp, *more, "--expect-digest", digest)
    assert spec.exit_code == 2
    assert "is for saved models" in spec.stderr


def test_a_damaged_model_is_refused(cli: Call, model: Path) -> None:
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    for verb, *more in READERS:
        result = cli(verb, model, *more)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {model} is damaged: its digest is not that of its contents")


def test_a_model_without_a_digest_is_read_with_a_note(cli: Call, mlp: Path, model: Path) -> None:
    tensors = dict(runtime.load(model).state_dict())
    save_file(tensors, model, {"blockprint/1": compiler.compile(mlp).canonical_text})
    result = cli("params", model)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"note: {model} is of the format blockprint/1, which had no digest")
    assert len(result.stderr.splitlines()) == 1


def test_params_shows_the_dtypes_that_are_there(cli: Call, model: Path) -> None:
    runtime.save(runtime.load(model).half(), model)
    assert "of float16" in cli("params", model).stdout
