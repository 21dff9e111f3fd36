"""Hypothesis strategies for layers and for specs, which draw only what is valid.

    cases(subject)          examples of a layer: its arguments, and inputs for it
    arguments(annotation)   values for an argument, from its annotation
    layers(layout)          what may stand in a layer position
    programs(layout)        the body of a block with a program
    blocks(layout)          definitions of blocks, and a call of one
    specs()                 whole specs; `sample_inputs` and `call` run the models of them
    trained_specs()         whole specs that say how they are trained, with their data

All shrink: what is left of a failure is a small layer on small inputs, or a spec of a few lines.

A strategy of specs follows the shape of the value that flows through the model while it draws the layers, so what it
draws compiles: a spec that is refused is a bug, of the compiler or of the strategy.
"""

from runtime.testing.strategies.arguments import of_annotation as arguments
from runtime.testing.strategies.cases import cases
from runtime.testing.strategies.parts import INPUTS, Layout, blocks, layers, programs
from runtime.testing.strategies.specs import Document, call, sample_inputs, specs
from runtime.testing.strategies.trainings import TrainedSpec, trained_specs

__all__ = [
    "INPUTS",
    "Document",
    "Layout",
    "TrainedSpec",
    "arguments",
    "blocks",
    "call",
    "cases",
    "layers",
    "programs",
    "sample_inputs",
    "specs",
    "trained_specs",
]
