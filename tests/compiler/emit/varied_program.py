"""A program whose variables count copies, are widths, and are neither."""

from __future__ import annotations

import textwrap

import compiler
from compiler.program import ResolvedProgram

SPEC = """
    spec: 1
    vars: {width: 8, heads: 8, depths: [2, 1], widths: [4, 6], layers: 3, rate: 0.5}
    inputs: {x: "float[batch, 8]"}
    blocks:
      Stage(width, depth):
        - {repeat: depth, of: Linear(width)}
    model:
      - {repeat: "zip(widths, depths)", as: [width, count], of: "Stage(width, count)"}
      - [{repeat: layers, splice: [Linear(width), Dropout(rate)]}]
      - Linear(heads)
"""


def program(text: str = SPEC) -> ResolvedProgram:
    return compiler.compile_text(textwrap.dedent(text)).program
