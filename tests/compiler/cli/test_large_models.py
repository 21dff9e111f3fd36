"""A saved model whose buffers take much work is loaded by those who say so."""

from __future__ import annotations

from pathlib import Path

import pytest

import compiler
import runtime
from runtime import work
from tests.compiler.cli.conftest import Call

SPEC = """
spec: 1
inputs: {x: "float[batch, 8]"}
model:
  buffers: {table: {value: "ones(8, 8).exp()", persistent: false}}
  forward: return x @ table
"""


@pytest.mark.parametrize("verb", ["run", "params"])
def test_a_load_that_takes_much_work_is_asked_for(
    verb: str, cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    runtime.save(runtime.build(compiler.compile_text(SPEC)), path)
    assert cli(verb, path).exit_code == 0
    monkeypatch.setattr(work, "STEPS", 10)
    result = cli(verb, path)
    assert result.exit_code == 1
    assert "error[too-much-work]" in result.stderr
    assert "--allow-large" in result.stderr
    assert cli(verb, path, "--allow-large").exit_code == 0
