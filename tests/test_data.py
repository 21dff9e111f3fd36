"""The data files that are shipped: what their README says of them is so."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "specs" / "data"


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("digits.npz", "5ba03c6b39b442201c550ab2bfc4517142c8052a57857622afeab261a5bdffca"),
        ("alice.txt", "69d41fa1230830b30a6e58d53f2604facbd3573a6c0532abc8b1cffd7c504c09"),
    ],
)
def test_file_is_the_one_that_was_made(name: str, digest: str) -> None:
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
    assert digest in (DATA / "README.md").read_text(encoding="utf-8")


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
