"""Every example of README.md and of docs/ is run, as a reader would run it.

What a fence says:

    ```yaml                 a whole spec: compiled, built, and run once on sample inputs
    ```yaml fragment        keys of a spec, which stand in for those of the whole spec above it
    ```yaml file=PATH       a file that later examples of the document import or name; also run, if it has a model
    ```python               run in the folder of those files, in one namespace for the whole document
    ```python file=PATH     a file, such as a plugin
    ```console              `$ python -m compiler ...` is run, and prints exactly what stands below it
    ```sh                   not run; its verbs must exist
    ```text                 below a spec: the short diagnostics that refuse it; below Python: what it prints
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import compiler
import runtime
from compiler import Artifact
from compiler.cli.app import VERBS, app
from runtime.samples import in_order, sample_inputs
from spec_schema.limits import DEFAULT_LIMITS
from spec_schema.render import render_short

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w+)(?: +([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = "python -m compiler"
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
"""That of a file, which is another one with each version of torch."""


@dataclass(frozen=True)
class Block:
    """A fenced block. `below` is the block of kind `text` that follows it with at most a line between, or None."""

    document: str
    line: int
    kind: str
    info: str
    text: str
    below: str | None

    @property
    def file(self) -> str | None:
        return self.info.removeprefix("file=") if self.info.startswith("file=") else None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@cache
def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text()
    found = list(FENCE.finditer(text))
    result = []
    for at, match in enumerate(found):
        after = found[at + 1] if at + 1 < len(found) else None
        near = after is not None and after[1] == "text" and text[match.end() : after.start()].count("\n") <= 4
        below = after[3] if after is not None and near else None
        line = text.count("\n", 0, match.start()) + 1
        result.append(Block(document, line, match[1], match[2] or "", match[3], below))
    return result


def chunks(text: str) -> dict[str, str]:
    """Return the lines of each top-level key of a spec."""
    parts = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)
    return {part.split(":")[0]: part for part in parts if part.strip()}


def merged(fragment: str, base: str) -> str:
    """Return a whole spec. The fragment stands in front, so that its lines keep their numbers."""
    own = chunks(fragment)
    return fragment + "".join(part for key, part in chunks(base).items() if key not in own)


def specs(document: str) -> list[tuple[Block, str]]:
    """Return every example that is a spec, with its whole text."""
    found, base = [], ""
    for block in blocks(document):
        if block.kind != "yaml":
            continue
        whole = block.text.startswith("spec: 1")
        assert whole or block.info == "fragment", f"{block}: neither a whole spec nor a fragment"
        if whole and block.file is None:
            base = block.text
        if whole and "\nmodel:" not in block.text:
            continue  # a library of blocks
        found.append((block, block.text if whole else merged(block.text, base)))
    return found


def files(document: str) -> dict[str, str]:
    return {block.file: block.text for block in blocks(document) if block.file}


ALL = [pytest.param(block, text, id=str(block)) for document in DOCUMENTS for block, text in specs(document)]


@pytest.mark.parametrize(("block", "text"), ALL)
def test_spec(block: Block, text: str, tmp_path: Path) -> None:
    here = write_files(block.document, tmp_path)
    plugins = [
        str(here / name) for name in files(block.document) if name.endswith(".py") and stem(name) in text
    ]
    made = compiled(text, block, plugins)
    if isinstance(made, str):
        assert made == (block.below or ""), made
        return
    assert "error[" not in (block.below or ""), "the example is said to be refused, and is not"
    if re.search(r"\bcheckpoint[(:]", text):
        return  # the file that it reads is made by the Python of the document, which builds the model too
    model = runtime.build(made, device="cpu", folder=here)
    with torch.no_grad():
        output = model(*in_order(made, sample_inputs(made, model, seed=0)))
    assert shapes(output) == shapes(made.inferred.output)


def compiled(text: str, block: Block, plugins: list[str]) -> Artifact | str:
    """Return the artifact, or the short diagnostics."""
    name = block.file or "spec.yaml"
    try:
        return compiler.compile_text(text, name=name, imports=files(block.document), plugins=plugins)
    except compiler.SpecError as error:
        return render_short(error.diagnostics, DEFAULT_LIMITS) + "\n"


def stem(name: str) -> str:
    """Return how a spec requires the plugin in a file."""
    return f"requires: [{Path(name).stem}]"


def shapes(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.shape, value.dtype
    if isinstance(value, dict):
        return {key: shapes(part) for key, part in value.items()}
    return [shapes(part) for part in value] if isinstance(value, list | tuple) else value


def write_files(document: str, folder: Path) -> Path:
    """Write the files of a document, beside the specs and data of the project."""
    shutil.copytree(ROOT / "specs", folder / "specs")
    shutil.copytree(ROOT / "specs" / "data", folder / "data")
    for name, text in files(document).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_and_commands(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(document, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    namespace: dict[str, Any] = {"__name__": "example"}
    for block in blocks(document):
        if block.kind == "python" and block.file is None:
            printed = run_python(block, namespace)
            assert printed == (block.below or ""), f"{block} prints something else"
        if block.kind == "console":
            for command, expected in sessions(block):
                printed = DIGEST.sub("", run_command(command))
                assert printed == DIGEST.sub("", expected), f"{block}: {command}"


def run_python(block: Block, namespace: dict[str, Any]) -> str:
    code = compile("\n" * block.line + block.text, block.document, "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, namespace)
    return printed.getvalue()


def sessions(block: Block) -> list[tuple[str, str]]:
    """Return each command of a console with what it prints. A line `...` leaves the rest out."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"{block}: a console starts with a command"
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts[1:])]


def run_command(command: str) -> str:
    """Return what a command prints, in this process: its results, and then its diagnostics."""
    words = shlex.split(command)
    assert command.startswith(f"{COMMAND} "), command
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        app(words[3:], prog_name=COMMAND)
    printed = [part.getvalue().strip("\n") for part in (err, out)]
    return "".join(f"{part}\n" for part in printed if part).replace(f"{Path.cwd()}/", "")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_verbs_exist(document: str) -> None:
    known = {verb.__name__.rstrip("_").replace("_", "-") for verb in VERBS}
    named = set(re.findall(rf"{COMMAND} ([a-z-]+)", (ROOT / document).read_text()))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_example_can_fail(document: str) -> None:
    for block in blocks(document):
        known = ("yaml", "python", "console", "sh", "text", "json")
        assert block.kind in known, f"{block}: {block.kind} is not run"
        if block.kind == "python" and block.file is None:
            assert "assert " in block.text or block.below, f"{block}: nothing is asserted, and nothing shown"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = FENCE.sub("", (ROOT / document).read_text())
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / document).parent / target).exists(), target
