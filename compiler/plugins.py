"""What a plugin imports: ``from compiler.plugins import Hints, layer, operation, initializer, dataset``."""

from compiler.catalogue.hints import Hints, Recipe
from compiler.catalogue.plugins import dataset, initializer, layer, operation

__all__ = ["Hints", "Recipe", "dataset", "initializer", "layer", "operation"]
