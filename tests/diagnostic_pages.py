"""The pages of the catalogue of diagnostics: their examples, and what the compiler says of them.

A page is `spec_schema/codes/CODE.md`. An example is a fenced `yaml` or `json` spec, followed by a fenced `text` with
what is printed and, if there is a way out, a fenced `yaml fixed` that compiles. Words behind the language:
`file=NAME` (a file that the next spec imports), `set=KEY=VALUE`, `preset=NAME`, `limit=NAME=VALUE`,
`encoding=NAME` (of the file's bytes), `times=LINE:COUNT` (this line is written so often), and `build` (the model is
built too, beside the file `weights.safetensors` with the tensors `fc.weight` of [4, 8] and `fc.bias`,
`pair.safetensors` with `a.weight` and `b.weight` of [8, 8], `whole.safetensors` with an `fc.weight` of whole numbers,
and `weights.pt`, which is none).

After a message was changed on purpose, `python tests/diagnostic_pages.py` writes what is printed now.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file

import compiler
import runtime
from compiler.catalogue.plugins import Registry
from compiler.pipeline import compile_files
from runtime.devices import Device
from spec_schema.codes import codes, page
from spec_schema.limits import DEFAULT_LIMITS, Limits
from spec_schema.render import render_full

FOLDER = Path(__file__).parents[1] / "spec_schema" / "codes"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MEMORY = 16 * 2**30
"""Bytes that examples find free, on whatever machine."""


@dataclass
class Example:
    """One refused spec with what belongs to it."""

    code: str
    name: str
    spec: str
    options: dict[str, str]
    imports: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    fixed: str | None = None
    place: tuple[int, int] = (0, 0)
    """Where the printed text stands in the page."""

    def __str__(self) -> str:
        return self.code

    @property
    def limits(self) -> Limits:
        if "limit" not in self.options:
            return DEFAULT_LIMITS
        name, value = self.options["limit"].split("=")
        return replace(DEFAULT_LIMITS, **{name: type(getattr(DEFAULT_LIMITS, name))(value)})

    @property
    def settings(self) -> dict[str, object]:
        return dict([self.options["set"].split("=", 1)]) if "set" in self.options else {}

    @property
    def source(self) -> str:
        """The spec with its repeated line written out."""
        if "times" not in self.options:
            return self.spec
        line, count = map(int, self.options["times"].split(":"))
        lines = self.spec.splitlines(keepends=True)
        return "".join([*lines[: line - 1], *[lines[line - 1]] * count, *lines[line:]])

    def read(self, path: str) -> tuple[bytes, str]:
        """Give the files of the example to the compiler."""
        texts = {self.name: self.source, **self.imports}
        if path not in texts:
            raise FileNotFoundError(path)
        return texts[path].encode(self.options.get("encoding", "utf-8")), path

    def compile(self) -> None:
        """Compile, and where the example says so build, the refused spec."""
        artifact = compile_files(
            self.name, self, self.settings, self.options.get("preset"), Registry(), self.limits
        )
        if "build" in self.options:
            with _machine():
                runtime.build(artifact)

    def mended(self) -> None:
        """Compile the mended spec."""
        assert self.fixed is not None
        replace(
            self, spec=self.fixed, options={k: v for k, v in self.options.items() if k != "set"}
        ).compile()

    def refused(self) -> str:
        """Return what is printed of the refused spec, and nothing if it is not refused."""
        try:
            self.compile()
        except compiler.SpecError as error:
            return render_full(error.diagnostics, False, DEFAULT_LIMITS)
        return ""


@contextmanager
def _machine() -> Iterator[None]:
    """Stand in a folder with a few files, on a machine with a CPU and some memory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            save_file({"fc.weight": torch.zeros(4, 8), "fc.bias": torch.zeros(4)}, "weights.safetensors")
            save_file({"a.weight": torch.zeros(8, 8), "b.weight": torch.ones(8, 8)}, "pair.safetensors")
            save_file({"fc.weight": torch.zeros(4, 8, dtype=torch.int8)}, "whole.safetensors")
            Path("weights.pt").write_bytes(b"\x80\x02}q\x00.")
            here = [Device("cpu", "a CPU", None)]
            with (
                mock.patch("runtime.devices.devices", return_value=here),
                mock.patch("runtime.build.available_memory", return_value=MEMORY),
            ):
                yield
        finally:
            os.chdir(before)


def examples(code: str) -> list[Example]:
    """Return the examples of a page."""
    found: list[Example] = []
    imports: dict[str, str] = {}
    for fence in FENCE.finditer(page(code)):
        language, words, text = fence[1], fence[2].split(), fence[3]
        options = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        if language == "text":
            found[-1].printed, found[-1].place = text, fence.span(3)
        elif "file" in options:
            imports[options["file"]] = text
        elif "fixed" in options:
            found[-1].fixed = text
        else:
            found.append(Example(code, f"spec.{language}", text, options, imports))
            imports = {}
    return found


def rewrite(code: str) -> bool:
    """Write what is printed now into a page; say whether that changed it."""
    text = page(code)
    for example in reversed(examples(code)):
        start, end = example.place
        text = f"{text[:start]}{example.refused()}\n{text[end:]}"
    changed = text != page(code)
    if changed:
        (FOLDER / f"{code}.md").write_text(text, "utf-8")
    return changed


if __name__ == "__main__":
    for each in codes():
        if rewrite(each):
            print(each)
