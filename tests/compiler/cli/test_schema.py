"""`schema`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.compiler.cli.conftest import Call

PLUGIN = """\
from torch import Tensor, nn

from compiler.plugins import layer


@layer
class Twice(nn.Module):
    def __init__(self, factor: int, name: str = "a") -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x
"""


def test_the_schema_is_printed_or_written(cli: Call, tmp_path: Path) -> None:
    printed = cli("schema")
    assert printed.exit_code == 0
    schema = json.loads(printed.stdout)
    assert [*schema["required"]] == ["spec"]
    path = tmp_path / "schema.json"
    assert cli("schema", "-o", path).stderr == f"wrote {path}\n"
    assert json.loads(path.read_text()) == schema


def test_a_plugin_is_in_it(cli: Call, tmp_path: Path) -> None:
    plugin = tmp_path / "twice.py"
    plugin.write_text(PLUGIN)
    schema = json.loads(cli("schema", "--plugin", plugin).stdout)
    calls = schema["definitions"]["LongCall"]["allOf"]
    (twice,) = [each["then"] for each in calls if each["if"]["properties"]["layer"]["const"] == "Twice"]
    assert twice["required"] == ["layer", "factor"]
    assert [*twice["properties"]] == ["layer", "factor", "name"]
    assert cli("schema", "--plugin", tmp_path / "none.py").exit_code == 2


def test_a_place_that_cannot_be_written(cli: Call, tmp_path: Path) -> None:
    assert cli("schema", "-o", tmp_path).exit_code == 2
