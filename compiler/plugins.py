"""What a plugin imports: ``from compiler.plugins import Hints, layer, operation, initializer, dataset``."""

from compiler.catalogue.hints import Hints
from compiler.catalogue.plugins import dataset, initializer, layer, operation

__all__ = ["Hints", "dataset", "initializer", "layer", "operation"]
