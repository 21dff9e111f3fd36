"""`check`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.compiler.cli.conftest import MLP, Call


def test_a_valid_spec(cli: Call, mlp: Path) -> None:
    result = cli("check", mlp)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 spec, fine\n", "")


def test_several_specs_are_all_checked(cli: Call, mlp: Path, broken: Path, tmp_path: Path) -> None:
    result = cli("check", mlp, broken, tmp_path / "gone.yaml")
    assert result.exit_code == 2
    assert result.stdout == "3 specs, 1 refused, 1 not found\n"
    assert "error[unknown-layer]" in result.stderr
    assert "there is no file" in result.stderr


def test_the_status_is_1_if_all_are_there(cli: Call, mlp: Path, broken: Path) -> None:
    assert cli("check", mlp, broken).exit_code == 1


def test_as_json_all_diagnostics_are_one_list_on_standard_output(cli: Call, mlp: Path, broken: Path) -> None:
    result = cli("check", broken, mlp, broken, "--format", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert result.stderr == ""
    assert {each["spec"] for each in found} == {str(broken)}
    assert (found[0]["code"], found[0]["line"], found[0]["column"]) == ("unknown-layer", 4, 5)
    assert len(found) == 2 * len(json.loads(cli("check", broken, "--format", "json").stdout))


def test_as_json_a_valid_spec_is_an_empty_list(cli: Call, mlp: Path) -> None:
    result = cli("check", mlp, "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_short_is_a_line_for_each_diagnostic_and_nothing_else(cli: Call, broken: Path) -> None:
    result = cli("check", broken, "--format", "short")
    assert result.stdout == ""
    assert all(line.startswith(f"{broken}:") for line in result.stderr.splitlines())


def test_shapes_are_checked(cli: Call, mlp: Path) -> None:
    mlp.write_text(MLP.replace("return head(body(x))", "return head(body(x)) + x"))
    result = cli("check", mlp)
    assert result.exit_code == 1
    assert f"{mlp}:16:" in result.stderr


def test_a_section_on_training_is_checked(cli: Call, mlp: Path) -> None:
    mlp.write_text(
        MLP + "train:\n  data: {file: a.npz, x: xs, y: ys}\n  loss: mse_loss(output, y)\n"
        "  optimizer: Adamm(lr=1)\n  batch: 1\n  epochs: 1\n"
    )
    result = cli("check", mlp)
    assert result.exit_code == 1
    assert "Adamm" in result.stderr


TRAIN = """\
train:
  data: {file: data/a.npz, x: xs, y: ys}
  loss: mse_loss(output, y)
  optimizer: SGD(lr=1)
  batch: 1
  epochs: 1
"""


def test_files_that_are_not_there_yet_are_noted(cli: Call, mlp: Path) -> None:
    mlp.write_text(MLP.replace("ones", "checkpoint('old.safetensors')") + TRAIN)
    (mlp.parent / "odl.safetensors").write_bytes(b"")
    result = cli("check", mlp)
    assert (result.exit_code, result.stdout) == (0, "1 spec, fine\n")
    help = f"did you mean `{mlp.parent / 'odl.safetensors'}`?"
    assert result.stderr.splitlines() == [
        f"note: {mlp}:19:29: `old.safetensors` is not there yet; {help}",
        f"note: {mlp}:22:16: `data/a.npz` is not there yet",
    ]
    assert cli("check", mlp, "--no-files").stderr == ""


def test_the_headers_of_data_and_checkpoints_are_held_against_the_spec(cli: Call, mlp: Path) -> None:
    mlp.write_text(MLP.replace("ones", "checkpoint('old.safetensors')") + TRAIN)
    save_file({"head.weight": np.zeros((2, 9), np.float32)}, mlp.parent / "old.safetensors")
    (mlp.parent / "elsewhere" / "data").mkdir(parents=True)
    ys = np.zeros((5, 2), np.float32)
    np.savez(mlp.parent / "elsewhere" / "data" / "a.npz", xs=np.zeros((5, 3), np.float32), ys=ys)
    result = cli("check", mlp, "--data-path", mlp.parent / "elsewhere", "--format", "short")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error[checkpoint-shape]" in result.stderr
    assert f"{mlp}:22:31: error[data-shape]: a batch of `xs` is float32[1, 3]" in result.stderr
    found = json.loads(cli("check", mlp, "--format", "json").stdout)
    assert [each["code"] for each in found] == ["checkpoint-shape"]
    assert cli("check", mlp, "--no-files").exit_code == 0


@pytest.mark.parametrize("option", [["--set", "hidden=0.5"], ["--set", "deep=-1"], ["--preset", "wid"]])
def test_values_from_the_command_line_are_checked(cli: Call, mlp: Path, option: list[str]) -> None:
    result = cli("check", mlp, *option)
    assert result.exit_code == 1
    assert "error[" in result.stderr


def test_a_saved_model_is_checked_too(cli: Call, mlp: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    assert cli("run", mlp, "--save", model).exit_code == 0
    assert cli("check", model).stdout == "1 spec, fine\n"
    model.write_bytes(model.read_bytes()[:100])
    result = cli("check", model)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {model}")


def test_a_link_out_of_the_folder_is_read_and_imports_stay_in_it(
    cli: Call, mlp: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "main.yaml").symlink_to(mlp)
    assert cli("check", folder / "main.yaml").exit_code == 0
    (folder / "parts.yaml").symlink_to(mlp)
    (folder / "main.yaml").unlink()
    (folder / "main.yaml").write_text(f"import: {{parts.yaml: [Block]}}\n{MLP.replace('Block', 'Other')}")
    result = cli("check", folder / "main.yaml")
    assert result.exit_code == 1
    assert "there is no file `parts.yaml`" in result.stderr


def test_a_spec_may_come_through_a_pipe(cli: Call, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=lambda: pipe.write_text(MLP))
    writer.start()
    result = cli("check", pipe)
    writer.join()
    assert (result.exit_code, result.stdout) == (0, "1 spec, fine\n")
