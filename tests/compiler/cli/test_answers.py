"""What is kept of an answer: nothing that differs from the answer, and nothing that others could have written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.cli.answers import store
from compiler.cli.answers.call import answered
from compiler.cli.answers.record import note_file, spoil

ROOT = Path(__file__).parents[3]
FINE = "spec: 1\ninputs: {x: 'float32[batch, 4]'}\nmodel: [Linear(2)]\n"
WRONG = FINE.replace("Linear(2)", "Linaer(2)")
WITH_IMPORT = "spec: 1\nimport: {part.yaml: [Part]}\ninputs: {x: 'float32[batch, 4]'}\nmodel: [Part]\n"
PART = "spec: 1\nblocks: {Part: [Linear(2)]}\n"

Answering = Callable[..., int]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of this test, in which answers are kept."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("BLOCKPRINT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.chdir(tmp_path)
    return folder


def kept(home: Path) -> list[Path]:
    return sorted((home / "cache").glob("*"))


class Work:
    """Stands for a verb: reads files, prints, and counts how often it had to."""

    def __init__(self, *paths: str, status: int = 0, spoils: bool = False) -> None:
        self.paths, self.status, self.spoils, self.calls = paths, status, spoils, 0

    def __call__(self) -> int:
        self.calls += 1
        for path in self.paths:
            note_file(path, Path(path).read_bytes() if Path(path).exists() else None)
        if self.spoils:
            spoil()
        print("fine", [Path(path).exists() for path in self.paths])
        print("remark \x1b[1mé\x1b[0m", file=sys.stderr)
        return self.status


@pytest.mark.parametrize("status", [0, 1])
def test_an_answer_is_the_same_the_second_time(
    home: Path, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("spec.yaml").write_text(FINE)
    work = Work("spec.yaml", "absent.yaml", status=status)
    first, shown = answered(["check", "spec.yaml"], work), capfd.readouterr()
    second, again = answered(["check", "spec.yaml"], work), capfd.readouterr()
    assert (first, shown) == (second, again) == (status, shown)
    assert "é" in shown.err
    assert "True, False" in shown.out
    assert work.calls == 1


def _changed(path: str) -> None:
    Path(path).write_text(WRONG)


def _linked(path: str) -> None:
    """The same text, elsewhere: the compiler may refuse to follow the link."""
    Path("other").write_text(FINE)
    Path(path).unlink()
    Path(path).symlink_to("other")


CHANGES: dict[str, Callable[[], object]] = {
    "another text": lambda: _changed("spec.yaml"),
    "gone": lambda: Path("spec.yaml").unlink(),
    "a link": lambda: _linked("spec.yaml"),
    "a folder": lambda: (Path("spec.yaml").unlink(), Path("spec.yaml").mkdir()),
    "what was not there": lambda: _changed("absent.yaml"),
    "a link to nothing": lambda: Path("absent.yaml").symlink_to("nothing"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_file_is_another_answer(home: Path, change: str) -> None:
    Path("spec.yaml").write_text(FINE)
    answered(["check", "spec.yaml"], Work("spec.yaml", "absent.yaml"))
    CHANGES[change]()
    work = Work()
    answered(["check", "spec.yaml"], work)
    assert work.calls == 1


def test_a_file_that_is_as_it_was_needs_no_new_answer(home: Path) -> None:
    Path("spec.yaml").write_text(FINE)
    work = Work("spec.yaml")
    answered(["check", "spec.yaml"], work)
    os.utime("spec.yaml", (1, 1))  # what counts is what it holds
    answered(["check", "spec.yaml"], work)
    assert work.calls == 1


SETTINGS = {"COLUMNS": "60", "NO_COLOR": "1", "TERM": "dumb", "BLOCKPRINT_DEBUG": "1", "LC_ALL": "C"}


@pytest.mark.parametrize("name", SETTINGS)
def test_another_environment_is_another_answer(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("spec.yaml").write_text(FINE)
    work = Work("spec.yaml")
    monkeypatch.delenv(name, raising=False)
    answered(["check", "spec.yaml"], work)
    monkeypatch.setenv(name, SETTINGS[name])
    answered(["check", "spec.yaml"], work)
    assert work.calls == 2


def test_other_arguments_folders_and_versions_are_other_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("spec.yaml").write_text(FINE)
    path = str(Path("spec.yaml").absolute())
    work = Work(path)
    answered(["check", path], work)
    answered(["check", path, "--format", "json"], work)
    answered(["emit", path], work)
    monkeypatch.setattr("compiler.cli.answers.call.versions", lambda: ["another torch"])
    answered(["check", path], work)
    monkeypatch.chdir(home)
    answered(["check", path], work)
    assert work.calls == len(kept(home)) == 5


NOT_KEPT: dict[str, tuple[list[str], Work]] = {
    "another verb": (["run", "spec.yaml"], Work("spec.yaml")),
    "no files": (["check", "spec.yaml"], Work()),
    "spoilt": (["check", "spec.yaml"], Work("spec.yaml", spoils=True)),
    "wrong usage": (["check", "spec.yaml"], Work("spec.yaml", status=2)),
    "a bug": (["check", "spec.yaml"], Work("spec.yaml", status=70)),
}


@pytest.mark.parametrize("case", NOT_KEPT)
def test_what_may_come_out_otherwise_is_not_kept(home: Path, case: str) -> None:
    Path("spec.yaml").write_text(FINE)
    arguments, work = NOT_KEPT[case]
    before = work.calls
    answered(arguments, work)
    answered(arguments, work)
    assert work.calls == before + 2
    assert kept(home) == []


# --- a hostile folder -----------------------------------------------------------------------------------


def _flipped(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"fine", b"evil"))


def _sealed_by_another_key(path: Path) -> None:
    text = path.read_bytes()[store.SEAL_BYTES :].replace(b"fine", b"evil")
    other = store.Store(os.open(path.parent, os.O_RDONLY), b"k" * store.KEY_BYTES)
    other.write(path.name, text)


def _of_another_call(path: Path) -> None:
    """A genuine answer, to another question."""
    Path("other.yaml").write_text(WRONG)
    answered(["check", "other.yaml"], Work("other.yaml", status=1))
    (other,) = set(path.parent.glob("*")) - {path}
    path.write_bytes(other.read_bytes())


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)  # which would make a reader wait


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _linked_to_itself(path: Path) -> None:
    moved = path.with_suffix(".moved")
    path.rename(moved)
    path.symlink_to(moved)


HARM: dict[str, Callable[[Path], object]] = {
    "flipped": _flipped,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "without a seal": lambda path: path.write_bytes(path.read_bytes()[store.SEAL_BYTES :]),
    "sealed by another key": _sealed_by_another_key,
    "of another call": _of_another_call,
    "huge": lambda path: os.truncate(path, 2**40),
    "a pipe": _piped,
    "a folder": _a_folder,
    "a link": _linked_to_itself,
    "writable for all": lambda path: path.chmod(0o666),
}


@pytest.mark.parametrize("harm", HARM)
def test_an_answer_that_was_tampered_with_is_not_believed(
    home: Path, harm: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("spec.yaml").write_text(FINE)
    work = Work("spec.yaml")
    answered(["check", "spec.yaml"], work)
    (path,) = kept(home)
    HARM[harm](path)
    capfd.readouterr()
    assert answered(["check", "spec.yaml"], work) == 0
    assert work.calls == 2
    assert capfd.readouterr().out == "fine [True]\n"


FOLDERS: dict[str, Callable[[Path], object]] = {
    "the folder": lambda home: (home / "cache").chmod(0o777),
    "one around it": lambda home: home.chmod(0o770),
    "the key": lambda home: (home / "state/blockprint/answers.key").chmod(0o666),
    "the folder of the key": lambda home: (home / "state/blockprint").chmod(0o777),
    "the key, cut": lambda home: (home / "state/blockprint/answers.key").write_bytes(b""),
}


@pytest.mark.parametrize("place", FOLDERS)
def test_a_folder_that_others_can_write_to_is_not_used(home: Path, place: str) -> None:
    Path("spec.yaml").write_text(FINE)
    work = Work("spec.yaml")
    answered(["check", "spec.yaml"], work)
    before = kept(home)
    FOLDERS[place](home)
    answered(["check", "spec.yaml"], work)
    assert work.calls == 2
    assert kept(home) == before


def test_a_folder_of_another_user_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("spec.yaml").write_text(FINE)
    answered(["check", "spec.yaml"], Work("spec.yaml"))
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    work = Work("spec.yaml")
    answered(["check", "spec.yaml"], work)
    assert work.calls == 1


def test_a_shared_folder_around_it_needs_the_bit_that_protects_names(home: Path) -> None:
    Path("spec.yaml").write_text(FINE)
    home.chmod(0o1777)  # as /tmp
    answered(["check", "spec.yaml"], Work("spec.yaml"))
    assert len(kept(home)) == 1


def test_answers_are_for_this_user_alone(home: Path) -> None:
    Path("spec.yaml").write_text(FINE)
    answered(["check", "spec.yaml"], Work("spec.yaml"))
    (path,) = kept(home)
    key = home / "state/blockprint/answers.key"
    assert [each.stat().st_mode & 0o777 for each in (path, key, path.parent)] == [0o600, 0o600, 0o700]


@pytest.mark.parametrize("value", ["", "0", "off", "OFF"])
def test_it_can_be_switched_off(home: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("spec.yaml").write_text(FINE)
    work = Work("spec.yaml")
    answered(["check", "spec.yaml"], work)
    monkeypatch.setenv("BLOCKPRINT_CACHE", value)
    answered(["check", "spec.yaml"], work)
    assert work.calls == 2
    assert len(kept(home)) == 1


def test_without_a_folder_named_it_is_in_that_of_caches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("spec.yaml").write_text(FINE)
    monkeypatch.delenv("BLOCKPRINT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "caches"))
    answered(["check", "spec.yaml"], Work("spec.yaml"))
    assert len(list((home / "caches/blockprint").glob("*"))) == 1


def test_the_folder_does_not_grow_without_end(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_ANSWERS", 3)
    Path("spec.yaml").write_text(FINE)
    for number in range(6):
        answered(["check", "spec.yaml", "--set", f"n={number}"], Work("spec.yaml"))
    assert len(kept(home)) == 3
    monkeypatch.setattr(store, "MOST_BYTES", 1)
    answered(["check", "spec.yaml", "--set", "n=7"], Work("spec.yaml"))
    assert kept(home) == []


def test_what_is_very_long_is_printed_and_not_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("compiler.cli.answers.call.LARGEST", 16)
    Path("spec.yaml").write_text(FINE)
    answered(["check", "spec.yaml"], Work("spec.yaml"))
    assert capfd.readouterr().out == "fine [True]\n"
    assert kept(home) == []


# --- whole processes ------------------------------------------------------------------------------------


def call(*arguments: str, options: tuple[str, ...] = (), **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *options, "-m", "compiler", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def modules(said: str) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("verb", ["check", "emit", "summary"])
def test_a_process_whose_answer_is_known_does_not_import_torch(home: Path, verb: str) -> None:
    Path("spec.yaml").write_text(FINE)
    first = call(verb, "spec.yaml")
    assert first[0] == 0
    assert call(verb, "spec.yaml") == first
    status, output, said = call(verb, "spec.yaml", options=("-X", "importtime"))
    assert (status, output) == first[:2]
    assert modules(said) & {"torch", "numpy", "rich", "typer"} == set()


def test_an_imported_file_that_changed_is_looked_at(home: Path) -> None:
    Path("spec.yaml").write_text(WITH_IMPORT)
    Path("part.yaml").write_text(PART)
    assert call("check", "spec.yaml") == (0, "1 spec, fine\n", "")
    assert len(kept(home)) == 1
    Path("part.yaml").write_text(PART.replace("Linear", "Linaer"))
    status, _, said = call("check", "spec.yaml")
    assert status == 1
    assert "unknown-layer" in said
    assert call("check", "spec.yaml") == (status, _, said)


def test_an_import_that_was_missing_may_come(home: Path) -> None:
    Path("spec.yaml").write_text(WITH_IMPORT)
    assert "import-missing" in call("check", "spec.yaml")[2]
    assert len(kept(home)) == 1
    Path("part.yaml").write_text(PART)
    assert call("check", "spec.yaml")[0] == 0


def test_what_writes_a_file_writes_it_again(home: Path) -> None:
    Path("spec.yaml").write_text(FINE)
    for _ in range(2):
        assert call("emit", "spec.yaml", "-o", "model.py")[0] == 0
        Path("model.py").unlink()
    assert kept(home) == []


def test_a_plugin_may_read_anything(home: Path) -> None:
    Path("plugin.py").write_text(
        "from torch import nn\nfrom compiler.plugins import layer\n@layer\nclass Own(nn.Module): ...\n"
    )
    Path("spec.yaml").write_text(FINE)
    assert call("check", "spec.yaml", "--plugin", "plugin.py")[0] == 0
    assert kept(home) == []


def test_on_a_terminal_it_is_as_colourful(home: Path) -> None:
    pty = pytest.importorskip("pty")
    Path("spec.yaml").write_text(WRONG)

    def shown() -> bytes:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "compiler", "check", "spec.yaml"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, check=False)
        os.close(theirs)
        os.set_blocking(ours, False)
        return os.read(ours, 2**16)

    first, second = shown(), shown()
    assert len(kept(home)) == 1
    assert b"\x1b[1;31merror" in second
    assert first.endswith(second)  # behind the wheel that turns while there is something to do
