"""The small model and the data set that trainings are tried on."""

from pathlib import Path

import numpy as np

TINY = """
spec: 1
name: tiny
inputs: {x: "float32[batch, 6]"}
model:
  - first: Linear(16)
  - norm: BatchNorm1d
  - ReLU
  - Dropout(0.25)
  - last: Linear(3)
"""


def write_points(folder: Path, count: int) -> None:
    """Write points of three classes, which planes divide, into `data.npz`."""
    draws = np.random.RandomState(7)
    points = draws.normal(size=(count, 6)).astype(np.float32)
    np.savez(folder / "data.npz", points=points, classes=(points @ draws.normal(size=(6, 3))).argmax(1))
