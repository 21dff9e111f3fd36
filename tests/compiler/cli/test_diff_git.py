"""`diff` with real git: files of a revision, with what they import there, and as git's own program that compares."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import compiler
import runtime
from tests.compiler.cli.conftest import Call

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PARTS = """\
spec: 1
blocks:
  Mlp(width):
    - Linear(width)
    - ReLU
    - Linear(8)
"""
SPEC = """\
spec: 1
name: net
import: {parts/mlp.yaml: [Mlp]}
inputs: {x: "float[batch, 8]"}
model:
  layers: {body: Mlp(16), out: Linear(2)}
  forward: |
    return out(body(x))
"""
ROOT = Path(__file__).parents[3]


def git(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        **{"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_PAGER": "cat"},
        **{"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits: the second one changes the spec, and what it imports."""
    folder = tmp_path / "repository"
    (folder / "parts").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "someone@example.com")
    git(folder, "config", "user.name", "Someone")
    (folder / "parts/mlp.yaml").write_text(PARTS)
    (folder / "net.yaml").write_text(SPEC)
    commit(folder, "first")
    (folder / "parts/mlp.yaml").write_text(PARTS.replace("Linear(width)", "Linear(2 * width)"))
    (folder / "net.yaml").write_text(SPEC.replace("body(x))", "body(x) + x)"))
    commit(folder, "second")
    monkeypatch.chdir(folder)
    return folder


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def test_a_revision_is_compared_with_its_own_imports(cli: Call, repository: Path) -> None:
    result = cli("diff", "HEAD~1:net.yaml", "HEAD:net.yaml", width=80)
    assert result.exit_code == 1
    assert "changed     Mlp.0  Linear out_features 16 → 32\n" in result.stdout
    assert "+ return out(body(x) + x)" in result.stdout
    assert cli("diff", "HEAD:net.yaml", "net.yaml").exit_code == 0
    assert cli("diff", "main~1:net.yaml", "HEAD^:./net.yaml").exit_code == 0


def test_a_path_that_begins_with_a_dot_is_relative_to_the_folder(
    cli: Call, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "nets").mkdir()
    (repository / "nets/small.yaml").write_text("spec: 1\ninputs: {x: 'float[2, 3]'}\nmodel: [Linear(4)]\n")
    commit(repository, "third")
    monkeypatch.chdir(repository / "nets")
    assert cli("diff", "HEAD:./small.yaml", "small.yaml").exit_code == 0
    assert cli("diff", "HEAD:nets/small.yaml", "small.yaml").exit_code == 0


def test_a_saved_model_of_a_revision_is_read(cli: Call, repository: Path) -> None:
    runtime.save(runtime.build(compiler.compile(repository / "net.yaml"), device="cpu"), "net.safetensors")
    commit(repository, "a model")
    assert cli("diff", "HEAD:net.safetensors", "net.yaml").exit_code == 0
    assert cli("diff", "HEAD:net.safetensors", "HEAD~2:net.yaml").exit_code == 1


@pytest.mark.parametrize(
    ("name", "message", "help"),
    [
        ("HEAD~9:net.yaml", "there is no revision `HEAD~9`", "git log"),
        ("HEAD:nat.yaml", "there is no file `nat.yaml` in `HEAD`", "did you mean `HEAD:net.yaml`?"),
        ("HEAD:../net.yaml", "there is no file `../net.yaml` in `HEAD`", ""),
        ("--output=x:net.yaml", "", ""),
        ("nowhere:net.yaml", "there is no revision `nowhere`", ""),
    ],
)
def test_what_is_not_there_is_said_in_a_line(
    cli: Call, repository: Path, name: str, message: str, help: str
) -> None:
    result = cli("diff", "--", name, "net.yaml")
    assert result.exit_code == 2
    assert message in result.stderr
    assert help in result.stderr
    assert result.stdout == ""
    assert sorted(path.name for path in repository.iterdir()) == [".git", "net.yaml", "parts"]


def test_outside_of_a_repository_a_revision_is_refused(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    result = cli("diff", "HEAD:net.yaml", "HEAD~1:net.yaml")
    assert result.exit_code == 2
    assert "there is no git repository here" in result.stderr


def test_a_spec_of_a_revision_that_is_refused_is_told_at_its_place(cli: Call, repository: Path) -> None:
    (repository / "parts/mlp.yaml").write_text(PARTS.replace("ReLU", "RelU"))
    commit(repository, "broken")
    result = cli("diff", "HEAD:net.yaml", "HEAD~1:net.yaml")
    assert result.exit_code == 2
    assert "--> HEAD:parts/mlp.yaml:5:7" in result.stderr


# --- as git's own program -------------------------------------------------------------------------------


@pytest.fixture
def driver(repository: Path) -> Path:
    """A repository whose git compares specs with ours, as `docs/diff.md` says."""
    (repository / ".gitattributes").write_text("*.yaml diff=blockprint\n*.safetensors diff=model\n")
    program = f"{sys.executable} -m compiler"
    git(repository, "config", "diff.blockprint.command", f"{program} diff")
    git(repository, "config", "diff.model.textconv", f"{program} summary")
    git(repository, "config", "diff.model.binary", "true")
    return repository


def test_git_diff_shows_what_changed_since_the_last_commit(driver: Path) -> None:
    spec = driver / "net.yaml"
    spec.write_text(spec.read_text().replace("Linear(2)", "Linear(3)"))
    text = git(driver, "diff")
    assert text.startswith("a/net.yaml → b/net.yaml\n")
    assert "changed     out  Linear out_features 2 → 3\n" in text
    git(driver, "add", "net.yaml")
    assert git(driver, "diff", "--cached", "net.yaml") == text


def test_git_diff_of_revisions_reads_the_imports_of_each(driver: Path) -> None:
    text = git(driver, "diff", "HEAD~1", "HEAD", "--", "net.yaml")
    assert "Mlp.0  Linear out_features 16 → 32" in text
    assert "+ return out(body(x) + x)" in text


def test_git_goes_on_behind_what_is_no_spec_or_new(driver: Path) -> None:
    (driver / "net.yaml").write_text("spec: 1\nmodel: [Linaer(3)]\n")
    (driver / "parts/mlp.yaml").write_text(PARTS)
    (driver / "new.yaml").write_text(SPEC)
    git(driver, "add", "-A")
    text = git(driver, "diff", "--cached")
    assert "+model: [Linaer(3)]" in text
    assert "new.yaml is new" in text
    assert "+    - Linear(width)" in text  # a library of blocks has no model


def test_git_follows_a_renamed_file(driver: Path) -> None:
    git(driver, "mv", "net.yaml", "network.yaml")
    spec = driver / "network.yaml"
    spec.write_text(spec.read_text().replace("Linear(2)", "Linear(5)"))
    git(driver, "add", "-A")
    text = git(driver, "diff", "--cached", "-M20%")
    assert "a/net.yaml → b/network.yaml\n" in text
    assert "Linear out_features 2 → 5" in text


def test_saved_models_are_compared_as_their_summaries(driver: Path) -> None:
    saved = driver / "net.safetensors"
    runtime.save(runtime.build(compiler.compile(driver / "net.yaml"), device="cpu"), saved)
    commit(driver, "a model")
    spec = driver / "net.yaml"
    spec.write_text(spec.read_text().replace("Linear(2)", "Linear(3)"))
    runtime.save(runtime.build(compiler.compile(spec), device="cpu"), saved)
    text = git(driver, "diff", "--", "net.safetensors")
    (gone,) = (line for line in text.splitlines() if line.startswith("-└─ out"))
    (new,) = (line for line in text.splitlines() if line.startswith("+└─ out"))
    assert gone.split()[-3:] == ["[batch,", "2]", "18"]
    assert new.split()[-3:] == ["[batch,", "3]", "27"]
