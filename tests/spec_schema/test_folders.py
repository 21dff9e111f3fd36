"""Which files a spec may name, and how they are opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from spec_schema.folders import Folders, NoFileError, OutsideError, open_file


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a file and a folder in it, beside another folder with a file."""
    for folder in ("own/inner", "other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text(folder)
    return tmp_path / "own"


def test_a_file_below_the_own_folder(home: Path) -> None:
    for path in ("inner/a.txt", "./inner/a.txt", "inner/../inner/a.txt", str(home / "inner" / "a.txt")):
        assert Folders(home).find(path) == (home / "inner" / "a.txt").resolve()


@pytest.mark.parametrize(
    "path",
    [
        "../other/a.txt",
        "inner/../../other/a.txt",
        "..",
        "../none.txt",
        "/etc/passwd",
        "/",
        "link",
        "way/a.txt",
    ],
)
def test_a_path_that_leads_out(home: Path, path: str) -> None:
    (home / "link").symlink_to("../other/a.txt")
    (home / "way").symlink_to("../other")
    with pytest.raises(OutsideError):
        Folders(home).find(path)


@pytest.mark.parametrize("path", ["a.txt", "../other/a.txt", "link", "way/a.txt"])
def test_a_folder_that_the_caller_names(home: Path, path: str) -> None:
    (home / "link").symlink_to("../other/a.txt")
    (home / "way").symlink_to("../other")
    other = home.parent / "other"
    assert Folders(home, (other,)).find(path) == (other / "a.txt").resolve()


def test_a_folder_that_begins_with_the_name_of_another_is_not_inside_it(home: Path) -> None:
    (home.parent / "owner").mkdir()
    with pytest.raises(OutsideError):
        Folders(home).find("../owner")


@pytest.mark.parametrize("path", ["none.txt", "a\0b", "n" * 5000, "inner/a.txt/b"])
def test_what_is_not_there(home: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        Folders(home).find(path)


def test_a_link_to_itself_is_a_link(home: Path) -> None:
    (home / "circle").symlink_to("circle")
    with pytest.raises(NoFileError, match="a link"):
        open_file(Folders(home).find("circle"))


def special(folder: Path, kind: str) -> Path:
    path = folder / "s"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))  # a long name is none
    elif kind == "a link":
        path.symlink_to("elsewhere")
    else:
        return Path(os.devnull) if kind == "a device" else folder
    return path


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a link", "a device", "a folder"])
def test_only_an_ordinary_file_is_opened(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(NoFileError, match=f"^{kind}$"):
        open_file(special(home, kind))


def test_what_takes_the_place_of_a_file_is_not_waited_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file when it is looked at, a pipe when it is opened."""
    path, ordinary = special(home, "a pipe"), os.stat(home / "inner" / "a.txt")
    monkeypatch.setattr(os, "lstat", lambda _: ordinary)
    with pytest.raises(NoFileError, match="a pipe"):
        open_file(path)


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = os.stat(home / "inner" / "a.txt")
    (home / "link").symlink_to("../other/a.txt")
    monkeypatch.setattr(os, "lstat", lambda _: ordinary)
    with pytest.raises(OSError, match="symbolic links"):
        open_file(home / "link")
