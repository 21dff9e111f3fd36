"""What people see of the kit: the command, the tests in pytest, and the page that explains them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import broken
import pytest
from typer.testing import CliRunner, Result

from compiler.cli.app import app
from runtime.testing import PROPERTIES, check_property, subject_of
from runtime.testing.strategies import cases

ROOT = Path(__file__).parents[2]
BROKEN = str(Path(broken.__file__))
PAGE = (ROOT / "docs/testing.md").read_text()
FEW = ("--examples", "2")


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"}, prog_name="blockprint")


def test_the_command_shows_a_failure_as_a_spec_that_shows_it_again(tmp_path: Path) -> None:
    case = tmp_path / "case.yaml"
    result = cli("test-layer", f"{BROKEN}:NeedsTwoItems", "--case", str(case), *FEW)
    assert result.exit_code == 1
    assert "NeedsTwoItems: runs fails: it runs on all that it is said to take" in result.stdout
    assert re.search(
        r"found: it raises ValueError \(broken\.py:\d+\): Expected more than 1 value", result.stdout
    )
    assert result.stdout.count("not tried") == len(PROPERTIES) - 1
    (command,) = re.findall(r"run:   python -m compiler (.*)", result.stdout)
    again = cli(*command.replace("case.yaml", str(case)).split())
    assert again.exit_code == 1
    assert "expected more than 1 value per channel" in again.stderr


def test_the_spec_of_an_example_runs(tmp_path: Path) -> None:
    case = tmp_path / "case.yaml"
    result = cli("test-layer", f"{BROKEN}:Detached", "--case", str(case), *FEW)
    assert result.exit_code == 1
    (command, *_) = re.findall(r"run:   python -m compiler (.*)", result.stdout)
    assert cli(*command.replace("case.yaml", str(case)).split()).exit_code == 0


def test_short_and_json_say_the_same() -> None:
    layer = f"{BROKEN}:CentreOfAll"
    short = cli("test-layer", layer, "--format", "short", *FEW)
    result = cli("test-layer", layer, "--format", "json", *FEW)
    assert short.exit_code == result.exit_code == 1
    (report,) = json.loads(result.stdout)
    assert report["layer"] == "CentreOfAll"
    assert report["passed"] is False
    lines = [f"CentreOfAll {each['property']} {each['result']}" for each in report["properties"]]
    assert short.stdout.splitlines() == lines
    (failing,) = [each for each in report["properties"] if each["result"] == "fails"]
    assert failing["property"] == "batch"
    assert failing["failure"].keys() == {"found", "cause", "spec", "seed", "run"}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (f"{BROKEN}:Scael", "has no layer `Scael`; did you mean `Scale`?"),
        ("Linaer", "torch has no layer `Linaer`; did you mean `Linear`?"),
        ("MyLayer", "torch has no layer `MyLayer`; write `file.py:Layer` for one of your own"),
        ("missing.py", "there is no plugin file"),
    ],
)
def test_what_is_not_there_is_said(layer: str, message: str) -> None:
    result = cli("test-layer", layer)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_the_same_examples_are_drawn_each_time_and_others_with_a_seed() -> None:
    """Also after another layer was tried."""

    def seen(seed: int | None) -> str:
        verdict = check_property(PROPERTIES["evaluation"], cases(subject_of(broken.AlwaysDropping)), 5, seed)
        return f"{verdict.examples} {verdict.case!r} {verdict.failure}"

    first = seen(None)
    assert seen(None) == first
    assert seen(1) == seen(1)


def test_in_pytest_each_property_has_a_named_test_and_a_failure_is_readable(tmp_path: Path) -> None:
    """With the files of the page, as a reader has them."""
    for name, text in re.findall(r"```python file=(\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text.replace("examples=100", "examples=2"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-p",
            "no:cacheprovider",
            "-k",
            "batch or runs or compile",
            ".",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert re.search(r"test_gates.py::test_peak\[batch\] FAILED", done.stdout)
    assert re.search(r"test_gates.py::test_peak_of_each_item\[batch\] PASSED", done.stdout)
    assert done.stdout.count("PASSED") == 5
    report = done.stdout.partition("= FAILURES =")[2]
    assert "Peak: batch fails: a batch is its items one by one\n  found: " in report
    assert "`x.abs().max()` is over the items of the batch" in report
    assert "    spec: 1\n" in report
    assert len(report.splitlines()) < 30, "no traceback, and no log of torch"


def test_the_page_has_every_property() -> None:
    section = PAGE.partition("## The properties")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(PROPERTIES)
    for each in PROPERTIES.values():
        assert each.promise in PAGE, f"the promise of {each.name}"


@pytest.mark.parametrize("property", ["export", "compile"])
def test_torch_says_nothing_meanwhile(
    property: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It prints the graphs that it cannot export, and hands traces to all handlers, those of pytest among them."""
    verdict = check_property(PROPERTIES[property], cases(subject_of(broken.BranchesOnValues)), 2)
    assert verdict.failure is not None
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_one_mistake_is_told_once() -> None:
    """A plain tensor is in no state dict, and goes to no other dtype and device: what to do about it is one thing."""
    result = cli("test-layer", f"{BROKEN}:PlainTensor", *FEW)
    assert result.exit_code == 1
    assert result.stdout.count("cause: ") == 1
    assert "PlainTensor: registration fails" in result.stdout
    assert "it fails for the cause of `registration`" in " ".join(result.stdout.split())
    short = cli("test-layer", f"{BROKEN}:PlainTensor", "--format", "short", *FEW).stdout.splitlines()
    assert [line for line in short if line.endswith("fails")] == ["PlainTensor registration fails"]
    assert "PlainTensor dtype follows" in short
