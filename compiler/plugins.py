"""What a plugin imports: ``from compiler.plugins import Hints, layer, operation``, and the other decorators."""

from compiler.catalogue.decorators import dataset, initializer, layer, operation, parametrization
from compiler.catalogue.hints import Hints, Recipe

__all__ = ["Hints", "Recipe", "dataset", "initializer", "layer", "operation", "parametrization"]
