"""The extras: the project works without them, and what needs one names the command that installs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from compiler.extras import EXTRAS, TESTING, TRAIN, Extra

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMES = {"PIL": "pillow", "py_mini_racer": "mini-racer"}
"""Packages that are not called as their modules are."""
PACKAGES = {
    module: NAMES.get(module, module.replace("_", "-")) for extra in EXTRAS for module in extra.modules
}
DIGITS = "specs/digits.yaml"

HIDE = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"
"""Python finds no module where there is None."""
USES = f"""
import compiler, runtime, torch
artifact = compiler.compile({DIGITS!r})
model = runtime.build(artifact, seed=0)
runtime.save(model, sys.argv[1])
again = runtime.load(sys.argv[1])
print(len(list(again.parameters())), artifact.training.metrics)
"""
CALL = "from compiler.cli.app import app\napp({arguments!r})"


def hidden(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code where no extra is installed."""
    names = [*PACKAGES, "lightning_fabric", "lightning_utilities"]
    command = [sys.executable, "-c", HIDE.format(names=names) + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command line where no extra is installed."""
    return hidden(CALL.format(arguments=list(arguments)))


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra.name)
def test_an_extra_is_what_the_project_declares(extra: Extra) -> None:
    declared = [each.partition(">=")[0] for each in PROJECT["optional-dependencies"][extra.name]]
    assert declared == [PACKAGES[module] for module in extra.modules]
    assert not [each for each in PROJECT["dependencies"] if each.startswith(tuple(declared))]


def test_all_is_all_of_them() -> None:
    names = ",".join(extra.name for extra in EXTRAS)
    assert PROJECT["optional-dependencies"]["all"] == [f"blockprint[{names}]"]
    assert "'.[all,dev]'" in (ROOT / "Makefile").read_text()


def test_a_spec_compiles_builds_and_loads_without_them(tmp_path: Path) -> None:
    result = hidden(USES, str(tmp_path / "model.safetensors"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(" ()\n")


def test_a_training_without_its_extra_is_refused_at_its_section(tmp_path: Path) -> None:
    result = called("run", DIGITS, "--out", str(tmp_path))
    lines = (ROOT / DIGITS).read_text().splitlines()
    assert result.returncode == 1
    assert result.stdout == ""
    assert "error[missing-extra]: training needs `pytorch_lightning`, which is not installed" in result.stderr
    assert f"digits.yaml:{lines.index('train:') + 1}:1" in result.stderr
    assert f"= help: `{TRAIN.command}`" in result.stderr


def test_a_check_tells_that_metrics_were_not_looked_up() -> None:
    result = called("check", DIGITS)
    assert (result.returncode, result.stdout) == (0, "1 spec, fine\n")
    reason = "training needs `pytorch_lightning`, which is not installed"
    assert result.stderr == f"note: metrics are not checked: {reason}: {TRAIN.command}\n"


def test_the_tests_of_layers_without_their_extra_say_the_command() -> None:
    line = "testing layers needs `hypothesis`, which is not installed: pip install 'blockprint[testing]'"
    result = called("test-layer", "Linear")
    assert (result.returncode, result.stderr) == (2, f"error: {line}\n")
    imported = hidden("import runtime.testing")
    assert imported.stderr.splitlines()[-1] == f"compiler.extras.MissingExtraError: {line}"
    assert TESTING.problem() is None


def test_the_language_server_without_its_extra_says_the_command() -> None:
    result = called("lsp")
    line = "the language server needs `pygls`, which is not installed: pip install 'blockprint[editor]'"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"error: {line}\n")
