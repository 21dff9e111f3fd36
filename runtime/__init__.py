"""Blockprint's runtime: what one does with an artifact."""

from runtime.build import build
from runtime.checkpoint_mapping.loading import load_plan
from runtime.checkpoint_mapping.saving import save_like
from runtime.evaluate import evaluate, predict
from runtime.export import export_onnx, export_pt2, export_transformers
from runtime.files.header import FileError
from runtime.importing.imported import Imported, from_module
from runtime.initialise import initial_values
from runtime.loaders import loaders
from runtime.on_mesh import build_on_mesh
from runtime.store import Mismatch, load, load_into, save
from runtime.tensors import load_tensors, save_tensors
from runtime.train import lightning_module, train
from runtime.training.outcome import Interrupted, Trained

__all__ = [
    "FileError",
    "Imported",
    "Interrupted",
    "Mismatch",
    "Trained",
    "build",
    "build_on_mesh",
    "evaluate",
    "export_onnx",
    "export_pt2",
    "export_transformers",
    "from_module",
    "initial_values",
    "lightning_module",
    "load",
    "load_into",
    "load_plan",
    "load_tensors",
    "loaders",
    "predict",
    "save",
    "save_like",
    "save_tensors",
    "train",
]
