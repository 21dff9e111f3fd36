"""`fmt`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.cli.app import app
from tests.compiler.cli.conftest import MLP, Call

UNTIDY = "model: ['Linear(8)']   # one\nspec: 1\n"
TIDY = "spec: 1\nmodel: [Linear(8)]     # one\n"


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    path = tmp_path / "untidy.yaml"
    path.write_text(UNTIDY)
    return path


def test_a_spec_is_written_in_place(cli: Call, untidy: Path) -> None:
    result = cli("fmt", untidy)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 spec, 1 formatted\n")
    assert untidy.read_text() == TIDY
    before = untidy.stat().st_mtime_ns
    assert cli("fmt", untidy).stderr == "1 spec, 0 formatted\n"
    assert untidy.stat().st_mtime_ns == before


def test_check_names_files_and_writes_nothing(cli: Call, untidy: Path, mlp: Path) -> None:
    (untidy.parent / "tidy.yaml").write_text(TIDY)
    result = cli("fmt", "--check", untidy.parent)
    assert (result.exit_code, result.stdout) == (1, f"{untidy}\n")
    assert result.stderr == "3 specs, 1 would be formatted\n"
    assert (untidy.read_text(), mlp.read_text()) == (UNTIDY, MLP)
    assert cli("fmt", "--check", untidy.parent / "tidy.yaml").exit_code == 0


def test_diff_shows_what_changes_and_writes_nothing(cli: Call, untidy: Path) -> None:
    result = cli("fmt", "--diff", untidy)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        *(f"--- {untidy}", f"+++ {untidy}", "@@ -1,2 +1,2 @@"),
        *("-model: ['Linear(8)']   # one", " spec: 1", "+model: [Linear(8)]     # one"),
    ]
    assert untidy.read_text() == UNTIDY
    assert cli("fmt", "--diff", "--check", untidy).exit_code == 1


def test_standard_input_goes_to_standard_output() -> None:
    result = CliRunner().invoke(app, ["fmt", "-"], input=UNTIDY)
    assert (result.exit_code, result.stdout, result.stderr) == (0, TIDY, "")


def test_a_wrong_spec_stays_and_others_are_written(cli: Call, untidy: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("spec: 1\nmodle: [ReLU]\n")
    result = cli("fmt", "--format", "short", wrong, untidy)
    assert result.exit_code == 1
    assert result.stderr == f"{wrong}:2:1: error[unknown-key]: there is no key `modle` here\n"
    assert wrong.read_text() == "spec: 1\nmodle: [ReLU]\n"
    assert untidy.read_text() == TIDY


def test_a_link_stays_one_and_its_file_is_written(cli: Call, untidy: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(untidy)
    assert cli("fmt", link).exit_code == 0
    assert link.is_symlink()
    assert untidy.read_text() == TIDY


@pytest.mark.parametrize("name", ["nothing.yaml", "model.safetensors"])
def test_what_is_no_file_of_text(cli: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    assert cli("fmt", tmp_path / name).exit_code == 2


def test_a_file_that_cannot_be_written(cli: Call, untidy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(untidy))

    monkeypatch.setattr("runtime.files.atomic.write_whole", refuse)
    result = cli("fmt", untidy)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: `{untidy}`: permission denied\n")
    assert untidy.read_text() == UNTIDY
