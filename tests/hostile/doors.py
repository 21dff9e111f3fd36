"""Payloads in every place of specs and of model files, while they compile and load under an audit hook.

`python -m tests.hostile.doors FOLDER` writes what it saw as JSON: how many placements there were, and each event that
should not be. An audit hook cannot be taken off, so that this is a process of its own. With `--open` it opens each door
itself, and writes what it saw of that.
"""

from __future__ import annotations

import io
import json
import os
import pickle  # noqa: TID251 - what is loaded must not be unpickled
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import ruamel.yaml
import torch

import compiler
import runtime
from runtime.files.header import FileError
from runtime.files.sealed import seal
from runtime.store import read_saved
from tests.hostile.places import at, places
from tests.test_reachability import PLACES, head

MODULES = {"warm": "door_one", "armed": "door_two"}
"""Modules that can be imported, and leave a trace: one for each round, since a module is imported once."""
PAYLOADS = (
    *("__import__('{module}')", "{module}", "{module}.run", "{module}:run", "{module}.run()", "run@{module}"),
    *(
        "__import__('os').system('touch {folder}/trace')",
        "eval('__import__(\"{module}\")')",
        "os.system('id')",
    ),
    *(
        "!!python/object/apply:os.system ['touch {folder}/trace']",
        "!!python/name:{module}.run ''",
        "!!{module} 1",
    ),
    *("!!python/object/new:{module}.Run {{}}", "!!python/module:{module} ''", "file://{folder}/secret.yaml"),
    *("{folder}/secret.yaml", "../secret.yaml", "../../../../../../etc/passwd", "/etc/passwd", "~/.bashrc"),
    *(
        "http://127.0.0.1:9/a.yaml",
        "hf://a/b",
        "s3://a/b",
        "\\\\\\\\127.0.0.1\\\\a",
        "$(touch {folder}/trace)",
    ),
    *(
        "`touch {folder}/trace`",
        "${{oc.env:HOME}}",
        "{{{{ cycler.__init__.__globals__ }}}}",
        "{{0.__class__}}",
    ),
    *("open('{folder}/secret.yaml')", "torch.load('{folder}/secret.pt')", "torch.hub.load('a', 'b')"),
    *("checkpoint('{folder}/secret.safetensors')", "checkpoint('../secret.pt')", "exec('import {module}')"),
    *(
        "lambda: __import__('{module}')",
        "{module}.py",
        "{folder}/{module}.py",
        "python:{module}",
        "py://{module}",
    ),
)
RAW = (
    *("{}\n", "spec: {}\n", "spec: 1\nname: {}\n", "spec: 1\nmodel: {}\n", "spec: 1\nimport: {}\n"),
    *("spec: 1\nimport: {{{}: [A]}}\n", "spec: 1\nrequires: [{}]\n", "spec: 1\nmodel:\n  - {}\n"),
    *("spec: 1\ninputs: {{x: {}}}\nmodel: [ReLU]\n", "spec: 1\nplugins: [{}]\nmodel: [ReLU]\n"),
    *(
        "# {}\nspec: 1\n",
        "%TAG ! {}\n--- {}\n",
        "spec: 1\n<<: {}\n",
        "_target_: {}\n",
        "spec: 1\ndoc: |\n  {}\n",
    ),
)
"""Where a payload stands without quotes."""
PLAIN = ("plain", "Linear(4)", "1")
WHOLE = """
spec: 1
name: net
doc: a text
vars: {word: "'plain'", n: 4}
presets: {small: {n: 2}}
dims: {batch: 2}
inputs: {x: "float[batch, 8]"}
blocks: {"B(k)": {doc: a text, layers: {a: Linear(k)}, forward: "return a(x)"}}
model: [B(n), {named: Linear(2)}, {layer: Linear, out_features: 2}]
init: [{Linear.bias: zeros}, {named.weight: "normal(std=0.1)"}]
freeze: [0.a.bias]
share: {both: [named.bias, 2.bias]}
placement: [{/: cpu}]
"""
PROCESSES = "os.system os.exec os.posix_spawn os.spawn os.fork os.startfile subprocess. pty. socket."
CHANGES = (
    "os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate os.chmod os.chown os.putenv shutil."
)
READERS = "pickle. marshal. ctypes. urllib. ftplib. http. webbrowser. tempfile. os.listdir os.scandir import"
NO_FILE = "<unknown>"
"""What Python's parser takes its text to come from, and looks for to show a line of it."""
PARSER = str(Path(ruamel.yaml.__file__).parent)
"""The YAML parser goes through its own folder whenever it starts."""
MEMORY = "/proc/meminfo"
"""Where psutil reads how much memory is free."""
FORBIDDEN = tuple(f"{PROCESSES} {CHANGES} {READERS}".split())


class Watch:
    """The hook: while `files` is set it notes each event that opens a door to anything but these."""

    def __init__(self) -> None:
        self.files: set[str] | None = None
        self.emitted = False
        """Whether emitted source may run: it does when a file is loaded."""
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.files is None:
            return
        files, self.files = self.files, None  # what is done here is not looked at
        if self.is_breach(event, arguments, files):
            self.seen.append(f"{event} {str(arguments)[:200]}")
        self.files = files

    def is_breach(self, event: str, arguments: tuple[Any, ...], files: set[str]) -> bool:
        if event == "open":
            if isinstance(arguments[0], int):  # a descriptor: what it stands for is open
                return False
            return (
                arguments[0] not in (NO_FILE, MEMORY)
                and os.path.abspath(os.fsdecode(arguments[0])) not in files
            )
        if event == "exec":
            code: CodeType = arguments[0]
            return not (self.emitted and code.co_filename.startswith("<blockprint "))
        return event.startswith(FORBIDDEN) and arguments != (PARSER,)


class Trial:
    """Places payloads in one round; in the one that is `armed` the hook looks on."""

    def __init__(self, watch: Watch, folder: Path, name: str) -> None:
        self.watch, self.folder, self.armed = watch, folder, name == "armed"
        self.payloads = [text.format(module=MODULES[name], folder=folder) for text in PAYLOADS]
        self.own = folder / "own"
        self.done = 0

    def run(self, path: Path, work: Callable[[], object], emitted: bool = False) -> None:
        """Do the work on a file; it may be refused."""
        self.done += 1
        own = {str(each) for each in self.own.iterdir()} if path.suffix == ".yaml" else {str(path)}
        self.watch.emitted, self.watch.files = emitted, own if self.armed else None
        try:
            work()
        except (compiler.SpecError, FileError) as error:
            str(error)
        finally:
            self.watch.files = None

    def specs(self) -> None:
        path = self.own / "spec.yaml"
        for text in self.texts():
            path.write_text(text)
            self.run(path, lambda: compiler.compile(path).source)

    def texts(self) -> Iterator[str]:
        for payload in [*self.payloads, *PLAIN]:
            for place, text in PLACES.items():
                yield head(place) + text.format(json.dumps(payload)[1:-1])
            for text in RAW:
                yield text.format(*[payload] * text.count("{}"))

    def models(self) -> None:
        """Load model files that are whole, but hold a payload in the place of one of their texts."""
        about = dict(read_saved(self.folder / "whole.safetensors").canonical)
        value = {**about, "plan": "0" * 64, "versions": {"torch": "2"}, "cast": {"named.weight": "F32"}}
        tensors = read_saved(self.folder / "whole.safetensors").tensors
        path = self.folder / "hostile.safetensors"
        for number, place in enumerate(place for place in places(value) if place):
            for payload in self.payloads[number % 4 :: 4]:
                changed = json.loads(json.dumps(value))
                at(changed, place[:-1])[place[-1]] = payload
                changed = {**changed, "source": payload, "plugins": [payload]}
                stream = io.BytesIO()
                seal(stream, "model", changed, tensors)
                path.write_bytes(stream.getvalue())
                self.run(path, lambda: runtime.load(path), emitted=True)

    def pickles(self) -> None:
        """Load what is no model file at all, and would run if it were unpickled."""
        path = self.folder / "pickle.safetensors"
        for data in (pickle.dumps(Run()), *(pickle.dumps(Run(), protocol) for protocol in range(5))):
            for start in (b"", b"\x80\x02", len(data).to_bytes(8, "little")):
                path.write_bytes(start + data)
                self.run(path, lambda: runtime.load(path), emitted=True)
        torch.save({"state": Run()}, path)
        self.run(path, lambda: runtime.load(path), emitted=True)


class Run:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


DOORS: dict[str, Callable[[Path], object]] = {
    "import": lambda folder: __import__(MODULES["armed"]),
    "open": lambda folder: (folder / "secret.yaml").read_text(),
    "exec": lambda folder: exec("1"),
    "system": lambda folder: os.system("true"),
    "process": lambda folder: subprocess.run(["true"], check=True),
    "socket": lambda folder: socket.socket().close(),
    "pickle": lambda folder: pickle.loads(pickle.dumps(Run())),  # noqa: S301
}
"""What the hook has to see, each opened once."""


def prepared(folder: Path) -> None:
    """Make the files that there are to be found."""
    (folder / "own").mkdir()
    (folder / "own" / "other.yaml").write_text("spec: 1\nblocks: {A: [ReLU]}\n")
    (folder / "secret.yaml").write_text("spec: 1\nblocks: {A: [ReLU]}\n")
    for module in MODULES.values():
        trace = f"import pathlib\npathlib.Path({str(folder / 'trace')!r}).touch()\n"
        (folder / f"{module}.py").write_text(trace)
    runtime.save(runtime.build(compiler.compile_text(WHOLE)), folder / "whole.safetensors")
    torch.save({"a": 1}, folder / "secret.pt")
    sys.path.insert(0, str(folder))


def main(folder: Path, opens: bool) -> dict[str, Any]:
    prepared(folder)
    watch, placements = Watch(), 0
    sys.addaudithook(watch)
    if opens:
        return {door: opened(watch, folder, door) for door in DOORS}
    for name in MODULES:
        trial = Trial(watch, folder, name)
        trial.specs()
        trial.models()
        trial.pickles()
        placements = trial.done
    return {"placements": placements, "seen": watch.seen, "trace": (folder / "trace").exists()}


def opened(watch: Watch, folder: Path, door: str) -> list[str]:
    """Open a door while a spec is compiled; return what was seen of it."""
    watch.seen = []
    Trial(watch, folder, "armed").run(folder / "own" / "other.yaml", lambda: DOORS[door](folder))
    return watch.seen


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    json.dump(main(Path(sys.argv[1]).resolve(), "--open" in sys.argv), sys.stdout)
