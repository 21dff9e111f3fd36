"""Make the data files of this folder again, byte for byte, from the packages that carry the originals.

python specs/data/make.py digits                              needs scikit-learn
python specs/data/make.py alice path/to/brotli-1.2.1.tar.gz   needs the source distribution of Brotli
"""

import argparse
import tarfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ALICE_MEMBER = "brotli-1.2.1/tests/testdata/alice29.txt"
EDITION_LINE = "THE MILLENNIUM FULCRUM EDITION 2.9"


def make_digits(target: Path) -> None:
    """Scale the counts 0..16 to 0..1: exact in float32, since they are sixteenths."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None, :, :]
    labels = digits.target.astype(np.int64)
    np.savez_compressed(target, images=images, labels=labels)


def make_alice(archive: Path, target: Path) -> None:
    """Keep the text alone: no DOS line ends, no end-of-file mark, no name of an edition."""
    with tarfile.open(archive) as sdist:
        member = sdist.extractfile(ALICE_MEMBER)
        assert member is not None
        text = member.read().decode("ascii")
    text = text.replace("\r\n", "\n").removesuffix("\x1a")
    lines = [line.rstrip() for line in text.split("\n") if line.strip() != EDITION_LINE]
    target.write_bytes(("\n".join(lines).strip("\n") + "\n").encode("ascii"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    files = parser.add_subparsers(dest="file", required=True)
    files.add_parser("digits", help="digits.npz, from the installed scikit-learn")
    alice = files.add_parser("alice", help="alice.txt, from Brotli's source distribution")
    alice.add_argument("archive", type=Path)
    options = parser.parse_args()
    if options.file == "digits":
        make_digits(HERE / "digits.npz")
    else:
        make_alice(options.archive, HERE / "alice.txt")


if __name__ == "__main__":
    main()
