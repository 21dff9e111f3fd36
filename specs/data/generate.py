"""Make the generated data of this folder again: python specs/data/generate.py [shapes] [houses] [pumps].

The numbers are drawn with a fixed seed by NumPy's RandomState, which promises that they never change. The images need
Pillow.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
Draws = np.random.RandomState

FINE = 4
"""Pixels are drawn as so many times so many points, and averaged."""


def make_shapes(folder: Path) -> None:
    """Draw 40 images of each shape, of 20 to 28 pixels, in grey values with noise."""
    draws = Draws(1)
    for shape in ("circle", "square", "triangle"):
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in range(40):
            Image.fromarray(one_shape(shape, draws)).save(folder / shape / f"{number:02}.png", optimize=True)


def one_shape(shape: str, draws: Draws) -> np.ndarray:
    height, width = draws.randint(20, 29, size=2)
    size, turn = draws.uniform(5, 9), draws.uniform(0, 2 * np.pi)
    down, across = height / 2 + draws.uniform(-3, 3), width / 2 + draws.uniform(-3, 3)
    rows, columns = np.mgrid[: height * FINE, : width * FINE] / FINE
    y, x = rows - down, columns - across
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    covered = inside(shape, x / size, y / size).reshape(height, FINE, width, FINE).mean(axis=(1, 3))
    paper, ink = draws.uniform(0, 0.5), draws.uniform(0.5, 1)
    grey = paper + (ink - paper) * covered + draws.normal(scale=0.08, size=covered.shape)
    return (255 * grey.clip(0, 1)).astype(np.uint8)


def inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which points are in a shape about the origin."""
    if shape == "circle":
        return x**2 + y**2 < 1
    if shape == "square":
        return np.maximum(abs(x), abs(y)) < 0.9
    return (y < 0.6) & (y > 1.8 * abs(x) - 1.2)


DISTRICTS = {"harbour": 3200, "hills": 4100, "mill": 2300, "old town": 3700, "park": 3400, "station": 2700}
"""What a square metre costs."""


def make_houses(target: Path) -> None:
    """Draw 800 flats, and what they were sold for in thousands."""
    draws = Draws(2)
    with target.open("w", newline="", encoding="ascii") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["area", "rooms", "age", "floor", "district", "price"])
        for _ in range(800):
            rows.writerow(one_flat(draws))


def one_flat(draws: Draws) -> list[object]:
    district = sorted(DISTRICTS)[draws.randint(len(DISTRICTS))]
    area = round(draws.gamma(9, 9) + 20, 1)
    rooms = int(np.clip(round(area / 28 + draws.normal(scale=0.6)), 1, 8))
    age, floor = draws.randint(0, 120), draws.randint(0, 9)
    metre = DISTRICTS[district] * (1 + 0.02 * floor) * (0.7 + 0.4 * abs(age - 60) / 60)
    price = area * metre * (1 + 0.03 * rooms) * draws.normal(1, 0.05) / 1000
    return [area, rooms, age, floor, district, round(price, 1)]


def make_pumps(target: Path) -> None:
    """Draw 32 moments of a sensor on pumps: 1,104 are sound, 72 have a worn bearing, 24 have cavitation."""
    draws = Draws(3)
    states = draws.permutation(np.repeat([0, 1, 2], [1104, 72, 24]))
    signals = np.stack([one_signal(state, draws) for state in states])[:, None, :]
    np.savez_compressed(target, signals=signals, states=states.astype(np.int64))


def one_signal(state: int, draws: Draws) -> np.ndarray:
    """Return steps of 1/32: what a converter of 8 bits gives."""
    time = np.arange(32)
    signal = np.sin(2 * np.pi * (time / 16 + draws.rand())) + draws.normal(scale=0.3, size=32)
    if state == 1:
        signal += 1.2 * (time % draws.randint(5, 8) == draws.randint(5))
    if state == 2:
        signal += draws.normal(scale=0.9, size=32) * (abs(time - draws.randint(8, 24)) < 6)
    return (np.round(signal * 32) / 32).astype(np.float32)


MAKERS = {
    "shapes": lambda: make_shapes(HERE / "shapes"),
    "houses": lambda: make_houses(HERE / "houses.csv"),
    "pumps": lambda: make_pumps(HERE / "pumps.npz"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MAKERS), help=", ".join(MAKERS))
    for name in parser.parse_args().names:
        MAKERS[name]()


if __name__ == "__main__":
    main()
