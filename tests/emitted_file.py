"""A model from its emitted file, as somebody makes it who has nothing else."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from torch import nn


def run_file(source: str, title: str) -> nn.Module:
    """Import a source as a file, and make its root class."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "emitted.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("emitted", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = before
    made: nn.Module = getattr(module, title)()
    return made
