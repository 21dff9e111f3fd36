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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

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


def csv(draw: Random) -> bytes:
    """Return a table as text, with something in the cells that may be no number."""
    cells = ["1", "2.5", "-0", "1e999", "nan", "", "é", '"a', 'a"b', "2020-01-01", "true", "\x1b[2J", "\0"]
    head = draw.choice(["xs,ys", "xs,ys,xs", "xs", "", "\ufeffxs,ys", '"xs","ys"'])
    few = draw.choice([cells[:2], cells])
    rows = (
        ",".join(draw.choices(few, k=draw.choice([2, 2, 2, 2, 3]))) for _ in range(draw.choice([0, 1, 8]))
    )
    return ("\n".join([head, *rows]) + "\n").encode()


def table(draw: Random, kind: str) -> bytes:
    """Return a table as Parquet, or as a stream of Arrow."""
    values: list[Any] = [
        *([1.0] * 8, [[1.0, 2.0, 3.0, 4.0]] * 8, [[1.0]] * 7 + [[]], [None] * 8, ["a"] * 8, [b"a"] * 8),
        *(
            [{"bytes": b"a"}] * 8,
            [{"bytes": None}] * 8,
            [{"a": 1}] * 8,
            [[["a"]]] * 8,
            [],
            [float("nan")] * 8,
        ),
    ]
    same = [each for each in values if len(each) == 8]
    made = pa.table({"xs": draw.choice([values[1], *same]), "ys": draw.choice([values[1], *same])})
    stream = io.BytesIO()
    if kind == "parquet":
        pq.write_table(made, stream, row_group_size=draw.choice([3, 8]))
    else:
        with pa.ipc.new_stream(stream, made.schema) as written:
            written.write_table(made)
    return stream.getvalue()


def mapped(draw: Random, kind: str) -> bytes:
    """Return an array of numpy, or tensors of safetensors."""
    if kind == "npy":
        stream = io.BytesIO()
        np.save(stream, array(draw))
        return stream.getvalue()
    shapes = [draw.choice(SHAPES[:-1]) for _ in range(2)]
    return save({name: np.zeros(shape, np.float32) for name, shape in zip(("xs", "ys"), shapes, strict=True)})


def made(draw: Random, kind: str) -> bytes:
    """Return the bytes of a file of some kind."""
    match kind:
        case "text":
            return text(draw)
        case "npz":
            return broken(draw, archive(draw))
        case "csv":
            return broken(draw, csv(draw))
        case "npy" | "safetensors":
            return broken(draw, mapped(draw, kind))
    return broken(draw, table(draw, kind))


def text(draw: Random) -> bytes:
    """Return a text, or none."""
    pieces = ("to be ", "\r\n", "\x1b[2J", "\u2028", "\ufeff", "\0", "é", "\U0001f600")
    return broken(draw, "".join(draw.choices(pieces, k=draw.choice([0, 1, 30, 200]))).encode())


def place(draw: Random, folder: Path, data: bytes, ending: str) -> str:
    """Put a file, or something that is none, where a name leads; return the name."""
    own = folder / "own"
    own.mkdir()
    name = draw.choice([name for name in NAMES if "/" not in name and name != ".."])[:200] + ending
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
    kind = draw.choice(["npz"] * 4 + ["text"] * 3 + ["csv", "parquet", "arrow", "npy", "safetensors"] * 2)
    data = made(draw, kind)
    path = place(draw, folder, data, "" if kind in ("npz", "text") else f".{kind}")
    x, y = (draw.choice(NAMES) if draw.random() < 0.2 else name for name in ("xs", "ys"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = artifact("text" if kind == "text" else "file", path, x, y)
            assert model.training is not None
            splits = open_data(model, model.training, Folders(folder / "own"), draw.choice([LIMIT, 200]))
            splits.train[splits.train.in_order()]
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
