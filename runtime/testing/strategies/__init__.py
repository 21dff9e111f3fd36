"""Hypothesis strategies for whole random specs that are valid by construction.

A strategy follows the shape of the value that flows through the model while it draws the layers, so what it draws
compiles: a spec that is refused is a bug, of the compiler or of the strategy. `specs.specs()` is the entry.
"""
