"""`python -m benchmarks`, on small benchmarks: what it runs, what it writes, and when it fails."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.measured import Row
from benchmarks.page import figures
from benchmarks.run import ROOT, names, run

GOOD = """
from collections.abc import Iterator
from benchmarks.measured import Row
from compiler import SPEED

def rows(quick: bool) -> Iterator[Row]:
    print("to be ignored")
    yield Row(2, "later ÷ by hand", (2.0, 3.0, 2.5), 2.0, note="one | two: it is slow")
    yield Row(1, "first ÷ by hand", (SPEED,) if quick else (SPEED, SPEED), 10.0)
    yield Row(0, "peak", (123456.0,), unit="MiB", note="of which torch takes most")
    yield Row(13, "accelerator", (), 1.0, note="there is no accelerator here")
    yield Row(5, "counted", (0.9,), 1.0, note="7 calls, 8 by hand")
    yield Row(13, "bandwidth", (), 1.0, note="there is no accelerator here")
"""
BROKEN = """
from benchmarks.measured import Row

def rows(quick):
    yield Row(3, "before", (1.0,), 1.0)
    raise ValueError("it does not work")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with benchmarks and packages, and a commit with packages that are three times as fast."""
    for folder in ("benchmarks", "docs", "spec_schema", "compiler", "runtime"):
        (tmp_path / folder).mkdir()
    for name in ("alone.py", "measured.py"):
        (tmp_path / "benchmarks" / name).write_text((ROOT / "benchmarks" / name).read_text())
    for package in ("spec_schema", "compiler", "runtime"):
        (tmp_path / package / "__init__.py").write_text("SPEED = 1.0\n")
    identity = ["-c", "user.name=somebody", "-c", "user.email=some@body"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "compiler/__init__.py").write_text("SPEED = 3.0\n")
    write(tmp_path, good=GOOD)
    return tmp_path


def write(project: Path, **benchmarks: str) -> None:
    for name, text in benchmarks.items():
        (project / "benchmarks" / f"{name}.py").write_text(text)


def test_the_benchmarks_are_the_modules_with_rows(project: Path) -> None:
    write(project, broken=BROKEN, data="ROWS = 3\n")
    assert names(project) == ["broken", "good"]


def test_all_of_it_is_written_to_the_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], project) == 0
    text = (project / "docs/benchmarks.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    command = "`python -m benchmarks good` |"
    assert f"| 1 | first ÷ by hand | 3.00 | 3.00–3.00 | ≤ 10 | yes | {command}" in lines
    assert f"| 2 | later ÷ by hand | 2.50 | 2.00–3.00 | ≤ 2 | **no** | {command}" in lines
    assert f"| 13 | accelerator | – | – | ≤ 1 | not measured | {command}" in lines
    assert f"| peak | 123,456 MiB | once | {command}" in lines
    rows = [line.split(" | ")[0] for line in lines if line.endswith(command)]
    assert rows == ["| 1", "| 2", "| 5", "| 13", "| 13", "| peak"]
    for remark in (
        "### Not reached\n\n* later ÷ by hand: one | two: it is slow\n",
        "### Not measured\n\n* accelerator; bandwidth: there is no accelerator here\n",
        "### In detail\n\n* counted: 7 calls, 8 by hand\n",
        "### In detail\n\n* peak: of which torch takes most\n",
    ):
        assert remark in text
    said = capsys.readouterr().out
    assert "good, 1 of 1\n  2  later ÷ by hand: 2.50 (2.00–3.00) ≤ 2, not reached\n" in said


def test_the_page_names_versions_and_no_computer(project: Path) -> None:
    import socket

    main([], project)
    text = (project / "docs/benchmarks.md").read_text()
    assert "Python 3." in text
    assert "torch 2." in text
    assert " cores |" in text
    assert socket.gethostname() not in text


@pytest.mark.parametrize("options", [["--quick"], ["good"]])
def test_a_part_of_it_is_only_printed(project: Path, options: list[str]) -> None:
    assert main(options, project) == 0
    assert not (project / "docs/benchmarks.md").exists()


def test_quick_is_passed_on(project: Path) -> None:
    assert len(run("good", True, 60, root=project).rows[1].samples) == 1
    assert len(run("good", False, 60, root=project).rows[1].samples) == 2


def test_quick_ends_in_time_and_that_is_no_failure(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.QUICK", 1.0)
    slow = "import time\ndef rows(quick):\n    time.sleep(60)\n    yield\n"
    write(project, a_slow=slow, b_slow=slow)
    assert main(["a_slow", "b_slow", "--quick"], project) == 0
    said = capsys.readouterr()
    assert "a_slow was stopped: it was not done after 1 s\nb_slow was stopped: no time was left" in said.out
    assert said.err == ""


def test_one_that_fails_is_a_row_and_the_others_go_on(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, broken=BROKEN)
    assert main([], project) == 1
    text = (project / "docs/benchmarks.md").read_text()
    assert "| 3 | before | 1.00 |" in text
    assert "| `broken` failed: ValueError: it does not work |" in text
    assert "| 1 | first" in text
    assert "Traceback" in capsys.readouterr().err


def test_rows_of_another_kind_are_a_failure(project: Path) -> None:
    write(project, other="def rows(quick):\n    yield (1, 'fast', 2.0)\n")
    outcome = run("other", False, 60, root=project)
    assert outcome.failure == "TypeError: `rows` yields a tuple that is none of benchmarks.measured"


def test_one_that_is_killed_says_so(project: Path) -> None:
    write(project, killed="import os, signal\ndef rows(quick):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert run("killed", False, 60, root=project).failure == "its process was ended by SIGKILL"


def test_one_that_hangs_is_stopped_with_all_that_it_started(project: Path) -> None:
    mark = project / "alive"
    child = f"import time; time.sleep(3); open({str(mark)!r}, 'w')"
    call = f"subprocess.run([sys.executable, '-c', {child!r}])"
    write(project, hangs=f"import subprocess, sys\ndef rows(quick):\n    {call}\n    yield\n")
    start = time.monotonic()
    outcome = run("hangs", False, 1.5, root=project)
    assert time.monotonic() - start < 3
    assert (outcome.stopped, outcome.failure) == (True, "it was not done after 2 s")
    time.sleep(3.5 - (time.monotonic() - start))
    assert not mark.exists()


def test_the_spread_of_many_rounds_are_their_quartiles() -> None:
    assert figures(Row(1, "w", (9.0, 1.0, 2.0, 3.0, 4.0))) == ("3.00", "2.00–4.00")
    assert figures(Row(1, "w", (9.0, 1.0, 2.0))) == ("2.00", "1.00–9.00")


def test_a_slower_row_than_the_base_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["good", "--base", "HEAD"], project) == 1
    said = capsys.readouterr().out
    assert "  base: 1  first ÷ by hand: 1.00 (1.00–1.00) ≤ 10, reached\n" in said
    assert "good: first ÷ by hand: now ÷ base 3.00 ÷ 1.00 = 3.00, SLOWER\n" in said
    assert "good: later ÷ by hand: now ÷ base 2.50 ÷ 2.50 = 1.00\n" in said
    assert "good: accelerator: not compared, it was not measured\n" in said


def test_what_the_tolerance_allows_is_fine(project: Path) -> None:
    assert main(["good", "--base", "HEAD", "--tolerance", "3"], project) == 0


def test_what_the_base_cannot_run_is_not_compared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "compiler/__init__.py").write_text("SPEED = NEW = 1.0\n")
    write(project, new=GOOD.replace("import SPEED", "import NEW, SPEED"))
    assert main(["new", "--base", "HEAD"], project) == 0
    assert (
        "new: first ÷ by hand: not compared, ImportError: cannot import name 'NEW'" in capsys.readouterr().out
    )


def test_a_base_that_is_not_there_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--base", "v9"], project) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: fatal: not a valid object name: v9\n"


def test_a_benchmark_that_is_not_there_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bad"], project)
    assert "there is no benchmark `bad`, only good" in capsys.readouterr().err
