"""Infer: from a program to the states of all its layers, with every shape and dtype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from compiler.infer.cells import Cell
from compiler.infer.engine import Engine, dtype_of
from compiler.infer.states import BlockState
from compiler.program import ModuleBody, ResolvedProgram
from compiler.resolve.programs import MODE
from spec_schema.diagnostics import SpecError
from spec_schema.evaluate import evaluate
from spec_schema.limits import Limits


@dataclass(frozen=True, eq=False)
class Inferred:
    """A program with the states of its layers. `output` is what the model returns when it evaluates."""

    program: ResolvedProgram
    root: BlockState
    inputs: Mapping[str, Tensor]
    output: Any
    engine: Engine


def infer_shapes(program: ResolvedProgram, limits: Limits, dtype: torch.dtype = torch.float32) -> Inferred:
    """Run the program over meta tensors of the example sizes.

    Raises:
        SpecError: a shape, a dtype or an argument does not fit.
    """
    engine = Engine(limits, program.scope.plugins)
    with meta_device(dtype):
        inputs = {entry.name: _sample(program, entry.type.dtype, sizes) for entry, sizes in _sizes(program)}
        root = engine.builder.instantiate(program.model, {})
        output: Any = None
        for training in _modes(program):
            engine.training = training
            root, output = _run(engine, root, inputs, program)
    return Inferred(program, root, inputs, output, engine)


def _run(
    engine: Engine, root: BlockState, inputs: Mapping[str, Tensor], program: ResolvedProgram
) -> tuple[BlockState, Any]:
    cell = Cell(engine, program.name, root)
    place = program.model.span
    named = {entry.name: inputs[entry.name] for entry in program.model.inputs}
    output = cell.call([], named, place, "model")
    state = cell.freeze()
    assert isinstance(state, BlockState)
    return replace(state, output=output), output


def _modes(program: ResolvedProgram) -> tuple[bool, ...]:
    """Return the modes to run in: both, if a program asks for the mode."""
    import ast

    definitions = [program.model, *program.scope.blocks.values()]
    for definition in definitions:
        body = definition.body
        if isinstance(body, ModuleBody) and body.program is not None:
            for statement in body.program.body:
                if any(isinstance(n, ast.Name) and n.id == MODE for n in ast.walk(statement)):
                    return (True, False)
    return (False,)


def _sizes(program: ResolvedProgram) -> Iterator[tuple[Any, tuple[int, ...]]]:
    names = {**program.scope.variables, **program.sizes}
    for entry in program.inputs:
        sizes = []
        for dimension in entry.type.dimensions:
            size = evaluate(dimension, names)
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                from spec_schema.diagnostics import refuse

                raise refuse(
                    "bad-size", f"`{dimension}` is {size!r}, and a size is a whole number", dimension.place
                )
            sizes.append(size)
        yield entry, tuple(sizes)


def _sample(program: ResolvedProgram, dtype: str, sizes: tuple[int, ...]) -> Tensor:
    return torch.empty(sizes, dtype=dtype_of(dtype))


@contextmanager
def meta_device(dtype: torch.dtype) -> Iterator[None]:
    """Make every tensor on the meta device, with a default dtype, for the time of a `with`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(before)


__all__ = ["Inferred", "SpecError", "infer_shapes", "meta_device"]
