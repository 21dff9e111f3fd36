"""The data files that are shipped: what their README says of them is so."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parents[1] / "specs" / "data"
GENERATE = """
import pathlib, sys
sys.path.insert(0, ".")
import generate
generate.HERE = pathlib.Path(sys.argv[1])
for make in generate.MAKERS.values():
    make()
"""


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("digits.npz", "5ba03c6b39b442201c550ab2bfc4517142c8052a57857622afeab261a5bdffca"),
        ("alice.txt", "69d41fa1230830b30a6e58d53f2604facbd3573a6c0532abc8b1cffd7c504c09"),
        ("houses.csv", "f2388d6a688d5c69141217e65bca4d9b5b2a4ef4ffdece6176be6fd7f848d05c"),
        ("pumps.npz", "ae7e78e9c8334d10acdda32ab5f67cfaadee8b16555d790cd6cd628f5110d9d1"),
        ("parity.safetensors", "9ec96f33927b7bbdf7b9fba1e736b97e741bd102a1692c5bf9c4493964bdb307"),
    ],
)
def test_file_is_the_one_that_was_made(name: str, digest: str) -> None:
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
    assert digest in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_images_are_those_that_were_made() -> None:
    digest, files = hashlib.sha256(), sorted((DATA / "shapes").rglob("*.png"))
    for file in files:
        digest.update(file.relative_to(DATA / "shapes").as_posix().encode() + file.read_bytes())
    assert len(files) == 120
    assert digest.hexdigest() in (DATA / "README.md").read_text(encoding="utf-8")


def test_what_is_generated_is_generated_again(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", GENERATE, str(tmp_path)], check=True, cwd=DATA, capture_output=True, text=True
    )
    assert (tmp_path / "houses.csv").read_bytes() == (DATA / "houses.csv").read_bytes()
    with np.load(tmp_path / "pumps.npz") as made, np.load(DATA / "pumps.npz") as kept:
        assert all(np.array_equal(made[name], kept[name]) for name in kept.files)
    for kept_image in (DATA / "shapes").rglob("*.png"):
        made_image = tmp_path / kept_image.relative_to(DATA)
        with Image.open(made_image) as first, Image.open(kept_image) as second:
            assert first.tobytes() == second.tobytes(), kept_image


def test_digits() -> None:
    with np.load(DATA / "digits.npz", allow_pickle=False) as file:
        assert set(file.files) == {"images", "labels"}
        images, labels = file["images"], file["labels"]
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.float32
    assert labels.shape == (1797,)
    assert labels.dtype == np.int64
    assert np.array_equal(np.unique(images * 16), np.arange(17))
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_alice() -> None:
    text = (DATA / "alice.txt").read_bytes().decode("ascii")
    assert len(text) == 148_426
    assert len(set(text)) == 70
    assert set(text) - {"\n"} == {character for character in text if character.isprintable()}
    assert text.lstrip().startswith("ALICE'S ADVENTURES IN WONDERLAND\n")
    assert text.endswith("THE END\n")
    assert "gutenberg" not in text.lower()
