"""Imports through links, and imports that are no files that can be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import compiler
from compiler.catalogue.plugin_files import PluginError
from compiler.catalogue.plugins import load_plugin
from tests.hostile.trials import check_shown

IMPORTING = 'spec: 1\nimport: {a.yaml: [A]}\ninputs: {x: "float[2]"}\nmodel: [A]\n'


def refused(path: Path) -> str:
    """Return the one headline of a spec whose import is refused in its place."""
    path.write_text(IMPORTING)
    with pytest.raises(compiler.SpecError) as caught:
        compiler.compile(path)
    check_shown(caught.value.diagnostics)
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.span).rsplit("/")[-1]) == ("import-missing", "spec.yaml:2:10")
    return found.message


def test_a_link_leads_nowhere_outside(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("spec: 1\nblocks: {A: [ReLU]}\n")
    (folder / "a.yaml").symlink_to(tmp_path / "secret.yaml")
    path = folder / "spec.yaml"
    assert refused(path) == "there is no file `a.yaml`"


@pytest.mark.parametrize("loop", ["a.yaml", "b.yaml"])
def test_links_that_lead_to_themselves(loop: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(loop)
    if loop != "a.yaml":
        (tmp_path / loop).symlink_to("a.yaml")
    assert refused(tmp_path / "spec.yaml").startswith("`a.yaml` cannot be read: ")


def test_a_plugin_that_is_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("a.py")
    with pytest.raises(PluginError, match="no plugin file"):
        load_plugin(str(tmp_path / "a.py"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    assert refused(tmp_path / "spec.yaml") == "`a.yaml` cannot be read: it is a folder"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("spec: 1\nblocks: {A: [ReLU]}\n")
    opened = os.open

    def forbidden(path: Any, *arguments: Any, **named: Any) -> int:  # root may read all
        if Path(path).name == "a.yaml":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", forbidden)
    assert refused(tmp_path / "spec.yaml") == "`a.yaml` cannot be read: Permission denied"
