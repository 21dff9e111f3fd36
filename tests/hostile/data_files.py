"""Hostile files of data, as a training meets them: `python -m tests.hostile.data_files COUNT` tries so many.

Each is made in a folder of its own, and opened as `run` does before it trains: it is data, or refused in its place.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

import compiler
from compiler.artifact import Artifact
from runtime.training.data import open_data
from spec_schema.canonical import to_yaml
from spec_schema.diagnostics import SpecError
from spec_schema.folders import Folders
from tests.hostile.trials import check_shown

LIMIT = 100_000
NAMES = ("xs", "ys", "d.npz", "a\x1b[2J", "a\nb", "\u202e", "é", "..", "../d.npz", "x" * 300, " ", "-", "n/n")
DTYPES = "f4 f8 f2 i8 i1 u8 u2 ? c8 >f4 U3 S5 O M8[s] m8[ns] V4 f4,i8".split()
SHAPES = ((8, 4), (8, 2), (8,), (), (0, 4), (7, 4), (8, 4, 1), (4, 8), (1,) * 40)

PIECES = (b"\0", b"((((", b"-1", b"9" * 20, b"\xff" * 8, b"PK\5\6", b"'|O'", b",", b"\n")


@cache
def artifact(kind: str, path: str, x: str, y: str) -> Artifact:
    """Return the model that a file is for: of arrays, or of a text."""
    is_text = kind == "text"
    more = {"context": 4, "x": "characters", "y": "next_characters"} if is_text else {"x": x, "y": y}
    loss = "cross_entropy(output.flatten(0, 1), y.flatten())" if is_text else "mse_loss(output, y)"
    train = {"data": {kind: path, **more}, "loss": loss, "optimizer": "SGD(lr=0.1)", "batch": 2, "epochs": 1}
    model = ["Embedding(9, 4)", "Linear(9)"] if is_text else ["Linear(2)"]
    inputs = {"x": "int64[batch, time]" if is_text else "float32[batch, 4]"}
    return compiler.compile_text(to_yaml({"spec": 1, "inputs": inputs, "model": model, "train": train}))


def array(draw: Random) -> np.ndarray:
    """Return an array of any dtype and shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dtype = np.dtype(draw.choice(DTYPES))
        return np.zeros(draw.choice(SHAPES[:-1] if dtype.hasobject else SHAPES), dtype)


def archive(draw: Random) -> bytes:
    """Return an archive, of the right arrays or of others."""
    stream, packed = io.BytesIO(), draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    arrays = {"xs": np.ones((8, 4), np.float32), "ys": np.ones((8, 2), np.float32)}
    for name in draw.sample(NAMES, draw.choice([0, 0, 1, 2])):
        arrays[name] = array(draw)
    with zipfile.ZipFile(stream, "w", packed if draw.random() < 0.3 else zipfile.ZIP_STORED) as target:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values)
            ending = draw.choice(["", ".NPY", ".npy.npy"]) if draw.random() < 0.1 else ".npy"
            target.writestr(name + ending, broken(draw, member.getvalue()))
    return stream.getvalue()


def broken(draw: Random, data: bytes) -> bytes:
    """Change some bytes, cut some off, or put some in; mostly none."""
    changed = bytearray(data)
    for _ in range(draw.choice([0] * 8 + [1, 1, 3, 10])):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(4):
            case 0 if at < len(changed):
                changed[at] = draw.randrange(256)
            case 1:
                del changed[at : at + draw.choice([1, 10, 1000])]
            case 2:
                changed[at:at] = draw.choice(PIECES)
            case _:
                changed[at : at + 4] = draw.choice([b"\xff" * 4, b"\0" * 4, b"PK\1\2", b"True", b"1e99"])
    return bytes(changed)


def text(draw: Random) -> bytes:
    """Return a text, or none."""
    pieces = ("to be ", "\r\n", "\x1b[2J", "\u2028", "\ufeff", "\0", "é", "\U0001f600")
    return broken(draw, "".join(draw.choices(pieces, k=draw.choice([0, 1, 30, 200]))).encode())


def place(draw: Random, folder: Path, data: bytes) -> str:
    """Put a file, or something that is none, where a name leads; return the name."""
    own = folder / "own"
    own.mkdir()
    name = draw.choice([name for name in NAMES if "/" not in name and name != ".."])[:200]
    kind = draw.choice(["file"] * 12 + ["outside", "link", "way out", "circle", "folder", "pipe", "none"])
    if kind in ("outside", "link"):
        (folder / name).write_bytes(data)
    match kind:
        case "file":
            (own / name).write_bytes(data)
        case "link":
            (own / name).symlink_to(folder / name)
        case "way out":
            (own / name).symlink_to(folder)
            return f"{name}/own/{name}"
        case "circle":
            (own / name).symlink_to(name)
        case "folder":
            (own / name).mkdir()
        case "pipe":
            os.mkfifo(own / name)
        case "outside":
            return draw.choice([f"../{name}", str(folder / name)])
    return name


def attempt(number: int, folder: Path) -> str:
    """Open the data of a number: return the code that refuses them, or `data`."""
    draw = Random(number)
    kind = draw.choice(["file", "file", "text"])
    data = broken(draw, archive(draw)) if kind == "file" else text(draw)
    path = place(draw, folder, data)
    x, y = (draw.choice(NAMES) if draw.random() < 0.2 else name for name in ("xs", "ys"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = artifact(kind, path, x, y)
            assert made.training is not None
            open_data(made, made.training, Folders(folder / "own"), LIMIT)
        except SpecError as error:
            refused = error
        else:
            return "data"
    check_shown(refused.diagnostics)
    assert all(line.isprintable() for line in str(refused).split("\n")), "a control character is shown"
    return refused.diagnostics[0].code


def attempts(numbers: range, report: Callable[[int, Exception], None]) -> Counter[str]:
    """Try some numbers, and report each that is neither data nor refused."""
    codes: Counter[str] = Counter()
    for number in numbers:
        folder = Path(tempfile.mkdtemp())
        try:
            codes[attempt(number, folder)] += 1
        except Exception as error:
            report(number, error)
        finally:
            shutil.rmtree(folder)
    return codes


if __name__ == "__main__":
    print(
        attempts(
            range(int(sys.argv[1])), lambda number, error: print(f"{number}: {error!r}"[:300], flush=True)
        )
    )
