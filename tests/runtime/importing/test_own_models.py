"""Models that no library has, as people write them, are imported from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import compiler
from compiler.cli.app import app

SOURCE = Path(__file__).with_name("own_models.py")


def imported(name: str, folder: Path, *options: str) -> str:
    target = folder / "model.yaml"
    given = [each for option in options for each in option.split(" ", 1)]
    result = CliRunner().invoke(app, ["import", f"{SOURCE}:{name}", *given, "-o", str(target)])
    assert result.exit_code == 0, result.output
    return target.read_text()


UNET = ("--input image=float32[batch, 3, 16, 16]", "--input t=int64[batch]")
GRAPH = (
    "--input nodes=float32[nodes, 5]",
    "--input edges=int64[2, edges]",
    "--input weights=float32[edges]",
    "--dim nodes=6",
    "--dim edges=9",
)
TRANSLATOR = ("--input source=int64[batch, steps]", "--input target=int64[batch, 4]", "--dim steps=5")


@pytest.mark.parametrize(
    ("name", "options", "lines"),
    [("UNet", UNET, 62), ("GraphNet", GRAPH, 45), ("Translator", TRANSLATOR, 48)],
)
def test_a_model_of_ones_own_is_a_short_spec(
    name: str, options: tuple[str, ...], lines: int, tmp_path: Path
) -> None:
    text = imported(name, tmp_path, *options)
    compiler.compile(tmp_path / "model.yaml")
    assert text.count("\n") <= lines, text
