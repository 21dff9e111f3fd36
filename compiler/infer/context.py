"""What the runs of one program share, and what the run at hand is like."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch

from compiler.catalogue.plugins import Registry
from compiler.infer.build import Builder
from compiler.infer.call_kinds import CallKinds
from compiler.infer.call_stack import CallStack
from compiler.infer.chosen import CHOSEN, FIRST, ChosenSizes
from compiler.infer.conditions import Conditions, difference
from compiler.program import Scope
from spec_schema.limits import Limits


@dataclass
class Context:
    """What the runs of one program share, and what the run at hand is like.

    `dtype` is that of the model's own floating-point tensors. What a program makes without a dtype has torch's
    default, in a real run as here.
    """

    limits: Limits
    plugins: Registry
    dtype: torch.dtype = torch.float32
    variables_of: Callable[[Scope], Mapping[str, object]] = attrgetter("variables")
    training: bool = False
    asked_mode: bool = False
    """Whether anything that ran has asked for the mode."""
    builder: Builder = field(init=False)
    trail: CallStack = field(default_factory=CallStack)
    conditions: Conditions = field(default_factory=Conditions)
    """What numbers decided in the run at hand."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """The open dimensions that are not of their example size in the run at hand."""
    call_kinds: CallKinds = field(default_factory=CallKinds)
    chosen: ChosenSizes = field(default_factory=ChosenSizes)
    """The sizes that data decide in the run at hand."""

    def __post_init__(self) -> None:
        self.builder = Builder(self.limits, self.variables_of)

    def begin(self, examples: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
        """Begin a run at some sizes of the open dimensions."""
        self.conditions = Conditions()
        self.changed = {name: size for name, size in sizes.items() if size is not examples.get(name, FIRST)}
        self.chosen.begin(sizes.get(CHOSEN, FIRST))

    def note_condition(self, node: ast.AST, truth: bool, operands: Sequence[object]) -> None:
        """Note a condition that numbers decide."""
        path = tuple(frame.name for frame in self.trail.frames)
        self.conditions.note(path, node, truth, difference(operands))
