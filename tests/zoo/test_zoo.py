"""What holds of every file in specs/zoo, whatever it is compared with, and of the table that lists them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compiler.cli.app import app
from tests.zoo.parity import ROOT, Entry
from tests.zoo.references import MissingReference
from tests.zoo.zoo_table import TABLES, lines, named, recorded, written

FILES = sorted((ROOT / "specs/zoo").rglob("*.yaml"))
SPECS = [path for path in FILES if path.parent.name == "zoo"]
LINES = 120
WIDTH = 120
KEYS = "spec name import vars presets inputs dims blocks model share init freeze parametrize mesh".split()
"""In the order in which all files have them."""
SOURCE = re.compile(r"\([^()]*, (19|20)\d\d[;)]")
"""Authors and year, as in `(He et al., 2015)`."""
ENTRIES = [(table, entry) for table, entries in TABLES.items() for entry in entries if entry.full]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_run(path: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(path), "--preset", "tiny", "--format", "json"])
    assert result.exit_code == 0, result.output
    outputs = json.loads(result.stdout)["outputs"]
    assert outputs
    assert all(math.isfinite(each["statistics"]["norm"]) for each in outputs.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_form(path: Path) -> None:
    """A comment with the source of the architecture in front, and no longer than one reads at a glance."""
    text = path.read_text()
    head = text[: text.index("\nspec: 1\n")].splitlines()
    assert all(line.startswith("# ") for line in head)
    assert SOURCE.search(" ".join(line[2:] for line in head))
    assert written(text) <= LINES
    assert max(map(len, text.splitlines())) <= WIDTH
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert keys == sorted(keys, key=KEYS.index)


def test_every_spec_is_compared() -> None:
    compared = {entry.spec for entries in TABLES.values() for entry in entries}
    assert {path.stem for path in SPECS} - compared == {
        "gpt2"
    }  # which has a twin in tests/specs/test_twins.py


def test_the_table_has_every_entry() -> None:
    expected = {table: [named(entry) for entry in entries if entry.full] for table, entries in TABLES.items()}
    assert {table: [row[:2] for row in rows] for table, rows in recorded().items()} == expected


@pytest.mark.parametrize(("table", "entry"), ENTRIES, ids=str)
def test_the_table_counts_lines(table: str, entry: Entry) -> None:
    """That it counts parameters is tested where these are built."""
    [row] = [row for row in recorded()[table] if row[:2] == named(entry)]
    try:
        reference = entry.small()
    except MissingReference as missing:
        pytest.skip(str(missing))
    assert row[3:5] == lines(entry, reference)
