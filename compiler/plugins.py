"""What a plugin imports: ``from compiler.plugins import Hints, layer, operation, initializer, dataset``."""

from compiler.catalogue.decorators import dataset, initializer, layer, operation
from compiler.catalogue.hints import Hints, Recipe

__all__ = ["Hints", "Recipe", "dataset", "initializer", "layer", "operation"]
