"""The program as a whole: its overview, its exit statuses, and what it says when something is wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import Result

from compiler.cli import subject
from tests.compiler.cli.conftest import Call

VERBS = (
    "run",
    "check",
    "summary",
    "emit",
    "explain",
    "params",
    "load-plan",
    "save",
    "layers",
    "test-layer",
    "devices",
    "bench",
)


def process(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "compiler", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )


def last_line(result: Result) -> str:
    return result.stderr.strip().splitlines()[-1]


def test_without_arguments_an_overview_names_every_verb_and_three_examples(cli: Call) -> None:
    result = cli()
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for verb in VERBS:
        assert f"\n  {verb} " in result.stdout
    assert result.stdout.count("specs/") == 2
    assert "my_model.yaml" in result.stdout


def test_help_explains_the_exit_statuses(cli: Call) -> None:
    result = cli("--help")
    assert result.exit_code == 0
    assert "Exit status" in result.stdout


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_help_of_every_verb_fits_the_terminal(cli: Call, verb: str, width: int) -> None:
    result = cli(verb, "--help", width=width)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= width


# --- usage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message", "help"),
    [
        (["chek"], "no such command 'chek'", "did you mean `check`?"),
        (["check"], "missing argument 'SPEC...'", "`blockprint check --help` lists what there is"),
        (["check", "a.yaml", "--fromat", "json"], "no such option: --fromat", "did you mean `--format`?"),
        (["diff", "a.yaml", "b.yaml", "--format", "json"], "no such option: --format", "`diff` has `--json`"),
        (["check", "a.yaml", "--se", "a=1"], "no such option: --se", "did you mean `--set`?"),
        (
            ["check", "a.yaml", "--format", "jsn"],
            "invalid value for '--format': 'jsn' is not one of 'text', 'short', 'json'",
            "did you mean `json`?",
        ),
        (["--bogus"], "no such option: --bogus", "`blockprint --help` lists what there is"),
    ],
)
def test_wrong_usage_is_one_line_with_a_way_out(
    cli: Call, arguments: list[str], message: str, help: str
) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stderr == f"error: {message}\n  help: {help}\n"


@pytest.mark.parametrize("verb", ["run", "summary", "emit", "params", "explain"])
def test_a_missing_file_is_wrong_usage_with_the_nearest_name(cli: Call, mlp: Path, verb: str) -> None:
    result = cli(verb, mlp.with_name("mpl.yaml"))
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"error: there is no file `{mlp.with_name('mpl.yaml')}`\n  help: did you mean `{mlp}`?\n"
    )


def test_a_misspelt_folder_is_mended_as_a_whole(cli: Call, tmp_path: Path, mlp: Path) -> None:
    (tmp_path / "specs").mkdir()
    mlp.rename(tmp_path / "specs" / "mlp.yaml")
    result = cli("summary", tmp_path / "spec" / "mlp.yaml")
    assert f"did you mean `{tmp_path / 'specs' / 'mlp.yaml'}`?" in result.stderr


def test_a_folder_is_no_spec(cli: Call, tmp_path: Path, mlp: Path) -> None:
    result = cli("summary", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"error: `{tmp_path}` is a folder\n  help: name a file in it, such as `{mlp}`\n"


def test_a_setting_without_a_value(cli: Call, mlp: Path) -> None:
    result = cli("summary", mlp, "--set", "hidden")
    assert result.exit_code == 2
    assert result.stderr == "error: `--set hidden` gives no value\n  help: write `--set key=value`\n"


@pytest.mark.parametrize("reference", ["nowhere.py", "no_such_module"])
def test_a_plugin_that_does_not_load_is_wrong_usage(cli: Call, mlp: Path, reference: str) -> None:
    result = cli("check", mlp, "--plugin", reference)
    assert result.exit_code == 2
    assert reference in result.stderr
    assert len(result.stderr.splitlines()) == 1


# --- the spec is wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "check", "summary", "emit", "params", "explain"])
def test_a_refused_spec_gives_every_diagnostic_on_standard_error(cli: Call, broken: Path, verb: str) -> None:
    result = cli(verb, broken, *(["/"] if verb == "explain" else []))
    assert result.exit_code == 1
    assert f"--> {broken}:4:5" in result.stderr
    assert "did you mean `Linear`?" in result.stderr
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output


def test_diagnostics_as_one_line_each_or_as_json(cli: Call, broken: Path) -> None:
    short = cli("summary", broken, "--format", "short")
    assert short.stderr.startswith(f"{broken}:4:5: error[unknown-layer]: ")
    assert cli("summary", broken, "--format", "json").stderr.startswith('[\n  {\n    "code": "unknown-layer"')
    # The format of one call does not stay for the next.
    assert cli("summary", broken).stderr.startswith("error[unknown-layer]")


def test_an_unknown_variable_points_at_the_option(cli: Call, mlp: Path) -> None:
    result = cli("summary", mlp, "--set", "hiden=3")
    assert result.exit_code == 1
    assert "did you mean `hidden`?" in result.stderr


# --- our own bugs ---------------------------------------------------------------------------------------


def fail(*_: object) -> None:
    raise KeyError("deep inside\nof it")


def test_a_bug_is_said_as_such_on_one_line(cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject.Subject, "artifact", fail)
    result = cli("summary", mlp)
    assert result.exit_code == 70
    assert result.stderr.startswith("internal error: KeyError: ")
    assert "--debug" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_traceback_of_a_bug_is_shown_on_request(
    cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(subject.Subject, "artifact", fail)
    if way == "variable":
        monkeypatch.setenv("BLOCKPRINT_DEBUG", "1")
    result = cli("summary", mlp, *(["--debug"] if way == "option" else []))
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert last_line(result).startswith("internal error: KeyError")


def test_no_memory_is_no_bug(cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB")

    monkeypatch.setattr(subject.Subject, "artifact", starve)
    result = cli("summary", mlp)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: there is not enough memory")


def test_an_interrupt_ends_with_130(cli: Call, mlp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subject.Subject, "artifact", interrupt)
    result = cli("summary", mlp)
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert last_line(result) == "interrupted"


# --- as a process ---------------------------------------------------------------------------------------


def heed_interrupts() -> None:
    """A process that is started in the background by a shell ignores them, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_real_interrupt_ends_a_process_with_130(tmp_path: Path) -> None:
    endless = tmp_path / "endless.yaml"
    endless.write_text(
        'spec: 1\ninputs: {x: "float32[3]"}\nmodel:\n  forward: |\n'
        "    while (x * 0).sum() < 1:\n      x = x + 1\n    return x\n"
    )
    code = (
        "import sys; sys.argv = ['blockprint', 'run', sys.argv[1]]; import compiler.cli.forward as f\n"
        "status = f.status\n"
        "f.status = lambda text: (print('started', flush=True), status(text))[1]\n"
        "from compiler.__main__ import main; main()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(endless)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "Traceback" not in errors


def on_terminal(*arguments: str | Path, **variables: str) -> str:
    """Return what a terminal would show of the program's standard error."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    child = subprocess.Popen(
        [sys.executable, "-m", "compiler", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    seen = b""
    with (
        open(ours, "rb", buffering=0) as terminal,
        contextlib.suppress(OSError),
    ):  # EIO is the end of a terminal
        while part := terminal.read(4096):
            seen += part
    child.wait(60)
    return seen.decode()


def test_colour_is_for_terminals_unless_it_is_not_wanted(broken: Path) -> None:
    red = "\x1b[1;31merror"
    assert red in on_terminal("check", broken)
    assert red not in on_terminal("check", broken, NO_COLOR="1")
    assert "error[unknown-layer]" in on_terminal("check", broken, NO_COLOR="1")


def test_a_reader_that_goes_away_is_no_error(mlp: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "compiler", "explain", str(mlp)],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert result.returncode == 141
    assert result.stderr == ""


def test_the_module_and_the_exit_status_of_a_process(broken: Path) -> None:
    result = process("check", broken)
    assert result.returncode == 1
    assert result.stdout == "1 spec, 1 refused\n"
    assert result.stderr.startswith("error[unknown-layer]")


@pytest.mark.parametrize("arguments", [["--help"], [], ["check", "BROKEN"], ["run", "BROKEN"], ["explain"]])
def test_what_needs_no_shapes_does_not_import_torch(broken: Path, arguments: list[str]) -> None:
    given = [str(broken) if each == "BROKEN" else each for each in arguments]
    code = (
        "import sys\nfrom compiler.cli.app import app\n"
        f"try:\n    app({given!r})\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'numpy', 'pytorch_lightning')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr
