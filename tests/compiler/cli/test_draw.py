"""`draw` writes one file, all of it or nothing, and says what is wrong in a line."""

from __future__ import annotations

from pathlib import Path

from tests.compiler.cli.conftest import BROKEN, Call


def test_mermaid_is_written(cli: Call, mlp: Path, tmp_path: Path) -> None:
    result = cli("draw", mlp, "-o", tmp_path / "net.mmd")
    assert result.exit_code == 0
    assert (tmp_path / "net.mmd").read_text().startswith("flowchart TB\n")


def test_a_page_needs_no_network(cli: Call, mlp: Path, tmp_path: Path) -> None:
    assert cli("draw", mlp, "-o", tmp_path / "net.html", "--set", "hidden=32").exit_code == 0
    page = (tmp_path / "net.html").read_text()
    assert "default-src 'none'" in page
    assert "Linear(32)" in page
    assert not [
        part for part in ("src=", "href=", "@import", "/* data */") if part in page.split("<script>")[0]
    ]


def test_what_is_wrong_is_said_and_nothing_is_written(cli: Call, mlp: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.html"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(BROKEN)
    (tmp_path / "file").write_text("")
    cases = [
        ((wrong, "-o", target), 1, "error["),
        ((tmp_path / "none.yaml", "-o", target), 2, "there is no file"),
        ((mlp, "-o", tmp_path / "net.png"), 2, "net.html"),
        ((mlp, mlp, "-o", target), 2, "--diff A B"),
        ((mlp, "-o", tmp_path / "file" / "net.html"), 2, "error: "),
        ((mlp, "-o", mlp.with_suffix(".html").parent), 2, ""),
        ((mlp,), 2, "--output"),
    ]
    for arguments, status, text in cases:
        result = cli("draw", *arguments)
        assert (result.exit_code, text in result.stderr) == (status, True), result.stderr
    assert not target.exists()


def test_two_models_in_one_picture(cli: Call, mlp: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(mlp.read_text().replace("Linear(2)", "Linear(3)"))
    result = cli("draw", "--diff", mlp, other, "-o", tmp_path / "both.mmd")
    assert result.exit_code == 0, result.stderr
    assert "Linear(2) → Linear(3)" in (tmp_path / "both.mmd").read_text()
    result = cli("draw", "--diff", mlp, "-o", tmp_path / "one.mmd")
    assert (result.exit_code, "name A and B" in result.stderr) == (2, True)
    assert not (tmp_path / "one.mmd").exists()
