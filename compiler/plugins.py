"""What a plugin imports: ``from compiler.plugins import layer, operation, initializer, dataset``."""

from compiler.catalogue.plugins import dataset, initializer, layer, operation

__all__ = ["dataset", "initializer", "layer", "operation"]
