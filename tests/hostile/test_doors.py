"""No spec and no model file opens a door: nothing is imported, opened, started or run that they name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.hostile.doors import DOORS
from tests.hostile.originals import ROOT

PLACEMENTS = 500


def watched(folder: Path, *options: str) -> Any:
    command = [sys.executable, "-m", "tests.hostile.doors", str(folder), *options]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_no_payload_opens_a_door(tmp_path: Path) -> None:
    found = watched(tmp_path)
    assert found["seen"] == []
    assert not found["trace"]
    assert found["placements"] >= PLACEMENTS


def test_a_door_that_opens_is_seen(tmp_path: Path) -> None:
    found = watched(tmp_path, "--open")
    assert [door for door in DOORS if not found[door]] == []
