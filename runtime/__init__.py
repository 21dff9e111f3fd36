"""Blockprint's runtime: what one does with an artifact."""

from runtime.build import build
from runtime.store import FileError, load, save
from runtime.tensors import load_tensors, save_tensors
from runtime.train import Interrupted, Trained, train

__all__ = [
    "FileError",
    "Interrupted",
    "Trained",
    "build",
    "load",
    "load_tensors",
    "save",
    "save_tensors",
    "train",
]
