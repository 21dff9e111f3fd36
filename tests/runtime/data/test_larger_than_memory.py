"""Tables that are larger than the memory that there is: they are read in pieces, never whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

import compiler
from runtime.training.data import open_data
from runtime.training.items import training_batches
from runtime.training.mapped import mapped_npy
from runtime.training.places import Named, map_named
from spec_schema.folders import Folders
from spec_schema.source import SourceFile, Span

SHARDS, ROWS, WIDTH, GROUP = 8, 4096, 256, 512
"""Each shard has 4 MiB of numbers that cannot be compressed, in groups of half a MiB."""
WHOLE = SHARDS * ROWS * WIDTH * 4
PIECES = 6 << 20
"""Bytes: what a table may take to be read at once."""
SPEC = """
spec: 1
inputs: {{x: "float32[batch, {width}]"}}
model: [Linear(1)]
train:
  data: {{folder: {folder}, x: x, y: y}}
  loss: mse_loss(output.flatten(), y)
  optimizer: SGD
  batch: 64
  epochs: 1
"""


def numbers(shard: int) -> dict[str, np.ndarray]:
    draws = np.random.RandomState(shard)
    x = draws.randint(0, 2**32, (ROWS, WIDTH), dtype=np.uint32)
    return {"x": (x >> 9 | 0x3F800000).view(np.float32), "y": np.arange(ROWS, dtype=np.float32) + shard}


def table(shard: int) -> pa.Table:
    found = numbers(shard)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(found["x"].ravel()), WIDTH)
    return pa.table({"x": rows, "y": found["y"]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large")
    for name in ("parquet", "arrow"):
        (path / name).mkdir()
    names = []
    for shard in range(SHARDS):
        pa.parquet.write_table(
            table(shard), path / "parquet" / f"{shard}.parquet", GROUP, use_dictionary=False
        )
        names.append(f"data-{shard:05}-of-{SHARDS:05}.arrow")
        with pa.ipc.new_stream(path / "arrow" / names[-1], table(shard).schema) as stream:
            stream.write_table(table(shard), GROUP)
    listed = ", ".join(f'{{"filename": "{name}"}}' for name in names)
    (path / "arrow" / "state.json").write_text(f'{{"_data_files": [{listed}]}}')
    return path


@contextmanager
def counted() -> Iterator[pa.MemoryPool]:
    """Give Arrow a pool of memory that knows the most it had."""
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(pool)
    try:
        yield pool
    finally:
        pa.set_memory_pool(before)


def most_taken(folder: Path, name: str, limit: int) -> int:
    """Return the most that Arrow took at once to read all rows, which are those that were written."""
    artifact = compiler.compile_text(SPEC.format(width=WIDTH, folder=name))
    assert artifact.training is not None
    with counted() as pool:
        train = open_data(artifact, artifact.training, Folders(folder), limit).train
        total = sum(float(batch["y"].double().sum()) for batch in training_batches(train, 64, 0, lambda: 0))
        assert len(train) == SHARDS * ROWS
        del train
    assert total == sum(float(numbers(shard)["y"].astype(float).sum()) for shard in range(SHARDS))
    return int(pool.max_memory())


def test_shards_of_parquet_are_never_read_whole(folder: Path) -> None:
    assert most_taken(folder, "parquet", 1 << 30) > WHOLE
    assert most_taken(folder, "parquet", PIECES) < WHOLE // 2


def test_files_of_arrow_stay_where_they_are(folder: Path) -> None:
    assert most_taken(folder, "arrow", PIECES) < PIECES


def test_an_array_may_be_larger_than_all_memory(tmp_path: Path) -> None:
    """Its file has holes, which read as zeros. A system that sets memory aside for it refuses."""
    rows = 2 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (WIDTH * 4)
    path = tmp_path / "x.npy"
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.float32)) | {"shape": (rows, WIDTH)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        try:
            file.truncate(file.tell() + rows * WIDTH * 4)
        except OSError:
            pytest.skip("the file system has no files of this size")
    named = Named("x.npy", Span(SourceFile("spec.yaml", ""), 0, 0))
    found = mapped_npy(map_named(named, Folders(tmp_path)))
    assert found.shape == (rows, WIDTH)
    assert not found[torch.tensor([0, rows - 1])].any()
