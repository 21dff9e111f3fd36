"""Emitted source is verified twice: by the compiler that made it, and before it runs, wherever it comes from."""

from __future__ import annotations

import ast
from typing import Any

import pytest

import compiler
from compiler.verify import VerificationError, safe_builtins
from runtime.classes import emitted_module

SPEC = 'spec: 1\ninputs: {x: "float[batch, 8]"}\nmodel: [Linear(4)]\n'
HOSTILE = "import os\nos.system('true')\n"


def test_the_compiler_verifies_what_it_emits(monkeypatch: pytest.MonkeyPatch) -> None:
    def emit(*_: Any) -> tuple[ast.Module, str]:
        return ast.parse(HOSTILE), "Spec"

    monkeypatch.setattr("compiler.emit.module.emit_tree", emit)
    with pytest.raises(VerificationError):
        compiler.compile_text(SPEC)


def test_source_is_verified_before_it_runs() -> None:
    with pytest.raises(VerificationError):
        emitted_module("kinds = ().__class__.__base__.__subclasses__()\n", compiler.compile_text(SPEC))


def test_imports_are_guarded_while_source_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of source that was not verified."""
    monkeypatch.setattr("runtime.classes.verify", lambda *_: None)
    with pytest.raises(VerificationError, match="an import of os"):
        emitted_module("import os\n", compiler.compile_text(SPEC))


def test_what_runs_has_no_builtins_but_the_safe_ones() -> None:
    artifact = compiler.compile_text(SPEC)
    builtins = vars(emitted_module(artifact.source, artifact))["__builtins__"]
    assert {"eval", "exec", "open", "compile", "input", "breakpoint"}.isdisjoint(builtins)
    with pytest.raises(VerificationError):
        safe_builtins({})["__import__"]("os")


def test_a_frame_that_has_no_import_of_its_own_lets_one_pass() -> None:
    """C++ of torch imports through the builtins of the frame that called it, here what no emitted source may."""
    artifact = compiler.compile_text(SPEC)
    builtins = vars(emitted_module(artifact.source, artifact))["__builtins__"]
    assert builtins["__import__"]("torch.jit").jit is not None
