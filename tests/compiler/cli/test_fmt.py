"""`fmt`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import compiler
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


def test_the_last_line_counts_what_was_not_formatted(cli: Call, untidy: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("spec: 1\nmodle: [ReLU]\n")
    found = cli("fmt", untidy, wrong, tmp_path / "gone.yaml")
    assert found.exit_code == 2
    assert found.stderr.endswith("\n3 specs, 1 formatted, 1 refused, 1 not found\n")
    assert cli("fmt", wrong).stderr.endswith("\n1 spec, 1 refused\n")
    assert cli("fmt", "--check", untidy, wrong).exit_code == 1


def test_a_folder_without_specs(cli: Call, tmp_path: Path) -> None:
    found = cli("fmt", tmp_path)
    assert found.exit_code == 2
    assert found.stderr.startswith(f"error: there is no spec in `{tmp_path}`\n")
    assert found.stderr.endswith("\n1 spec, 1 not found\n")


def test_another_form_is_of_one_spec(cli: Call, mlp: Path, untidy: Path) -> None:
    found = cli("fmt", mlp, untidy, "--to", "long")
    assert found.exit_code == 2
    assert found.stderr == "error: `--to` and `--expand` print one spec\n  help: give one spec\n"


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


def test_other_forms_are_printed(cli: Call, mlp: Path) -> None:
    long = cli("fmt", mlp, "--to", "long")
    assert long.exit_code == 0
    assert '    - {layer: Linear, out_features: "${width}"}\n' in long.stdout
    assert '    body: {repeat: deep, of: {layer: Block, width: "${hidden}"}}\n' in long.stdout
    assert mlp.read_text() == MLP
    (mlp.parent / "long.yaml").write_text(long.stdout)
    assert cli("fmt", mlp.parent / "long.yaml", "--to", "yaml").stdout == MLP
    expanded = cli("fmt", mlp, "--expand").stdout
    assert "    head: Linear(2, in_features=hidden, bias=True)\n" in expanded
    assert "    - Linear(width, bias=True)\n" in expanded  # after 4 inputs, or after `hidden`


def test_json_and_back(cli: Call, mlp: Path) -> None:
    json = mlp.parent / "mlp.json"
    assert cli("fmt", mlp, "--to", "json", "-o", json).stderr == f"wrote {json}\n"
    assert compiler.compile(json) == compiler.compile(mlp)
    assert cli("fmt", json, "--check").exit_code == 0
    back = cli("fmt", json, "--to", "yaml").stdout
    assert compiler.compile_text(back, name="mlp.yaml") == compiler.compile(mlp)
    assert cli("fmt", json, "--to", "long").stdout.startswith('{\n  "spec": 1,')


def test_comments_in_a_long_call_keep_it(cli: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    head = "spec: 1\ninputs:\n  x: float32[4]\nmodel:\n"
    text = f"{head}  - layer: Linear  # wide\n    out_features: 8\n  - layer: ReLU\n"
    path.write_text(text)
    expected = text.replace("layer: ReLU", "ReLU")
    assert cli("fmt", path, "--to", "yaml").stdout == expected


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "json", "--check"),
        ("--to", "json", "-o", "a.yaml"),
        ("--expand", "-o", "mlp.yaml"),
        ("-o", "b.yaml"),
        ("--to", "text"),
    ],
)
def test_what_does_not_fit_together(
    cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(mlp.parent)
    assert cli("fmt", "mlp.yaml", *options).exit_code == 2
    assert mlp.read_text() == MLP
    assert [each.name for each in mlp.parent.iterdir()] == ["mlp.yaml"]


def test_what_does_not_compile_has_no_other_form(cli: Call, broken: Path) -> None:
    for option in (("--expand",), ("--to", "long")):
        result = cli("fmt", broken, *option, "-o", broken.parent / "out.yaml")
        assert result.exit_code == 1
        assert "unknown-layer" in result.stderr
    assert not (broken.parent / "out.yaml").exists()
