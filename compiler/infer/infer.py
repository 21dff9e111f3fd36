"""Infer: from a program to the states of all its layers, with every shape and dtype."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from compiler.infer.cells import Cell
from compiler.infer.engine import Engine
from compiler.infer.own_tensors import check_extent, check_size, dtype_of, float_dtype
from compiler.infer.states import BlockState
from compiler.infer.symbols import symbolic_sizes
from compiler.program import ModelInput, ResolvedProgram
from spec_schema.clock import Clock, stage
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.evaluate import evaluate
from spec_schema.limits import Limits

SECONDS_FOR_NAMES = 1.5
"""Of CPU: what it may take to name the dimensions in an error, which is to be there within 2."""


@dataclass(frozen=True, eq=False)
class Inferred:
    """A program with the states of its layers. `output` is what the model returns when it evaluates."""

    program: ResolvedProgram
    root: BlockState
    inputs: Mapping[str, Tensor]
    output: Any
    engine: Engine

    @property
    def modes(self) -> tuple[bool, ...]:
        """The modes to run in: training and not, if anything asks for the mode."""
        return (True, False) if self.engine.asked_mode else (False,)


@stage("infer")
def infer_shapes(program: ResolvedProgram, limits: Limits, dtype: torch.dtype = torch.float32) -> Inferred:
    """Run the program over meta tensors of the example sizes.

    Raises:
        SpecError: a shape, a dtype or an argument does not fit. Its shapes have the names of the symbolic
            dimensions where a second run, over symbols, comes to the same errors.
    """
    try:
        return _infer(program, limits, dtype, program.sizes)
    except SpecError as error:
        if not any(map(_shows_shape, error.diagnostics)):
            raise
        raise _with_symbols(program, limits, dtype, error) from None


def _shows_shape(diagnostic: Diagnostic) -> bool:
    labels = [label.text for label in diagnostic.labels]
    return bool(
        re.search(r"\[\d", " ".join([diagnostic.message, diagnostic.label, *labels, *diagnostic.notes]))
    )


def _with_symbols(
    program: ResolvedProgram, limits: Limits, dtype: torch.dtype, error: SpecError
) -> SpecError:
    """Return the errors of a run over symbolic sizes if they are the same ones, else the given error."""
    clock = Clock(min(limits.compile_seconds, SECONDS_FOR_NAMES))
    try:
        with clock.running(), stage("infer"), symbolic_sizes(program.sizes) as symbols:
            _infer(program, limits, dtype, symbols)
    except SpecError as symbolic:
        if _places(symbolic) == _places(error):
            return SpecError(map(_named, symbolic.diagnostics, error.diagnostics))
    except Exception:
        return error
    return error


def _named(symbolic: Diagnostic, example: Diagnostic) -> Diagnostic:
    """Take the headline of the example run where torch's own words hold its symbols, which mean nothing."""
    unnamed = re.search(r"\bs\d+\b", symbolic.message)
    return replace(symbolic, message=example.message) if unnamed else symbolic


def _places(error: SpecError) -> list[tuple[str, str]]:
    return [(diagnostic.code, str(diagnostic.span)) for diagnostic in error.diagnostics]


def _infer(
    program: ResolvedProgram, limits: Limits, dtype: torch.dtype, sizes: Mapping[str, Any]
) -> Inferred:
    engine = Engine(limits, program.scope.plugins, dtype)
    with meta_device(torch.float32):
        with float_dtype(dtype):
            inputs = sample_inputs(program, sizes)
        root = engine.builder.instantiate(program.model, {})
        engine.training = True
        root, output = _run(engine, root, inputs, program)
        engine.training = False
        if engine.asked_mode:
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


def sample_inputs(program: ResolvedProgram, sizes: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a tensor without values for each input of the model; `sizes` are those of the named dimensions."""
    return {
        entry.name: torch.empty(_shape(program, entry, sizes), dtype=dtype_of(entry.type.dtype))
        for entry in program.inputs
    }


def _shape(program: ResolvedProgram, entry: ModelInput, sizes: Mapping[str, Any]) -> tuple[Any, ...]:
    names = {**program.scope.variables, **sizes}
    found = tuple(check_size(evaluate(part, names), part, names) for part in entry.type.dimensions)
    return check_extent(found, entry.type)


@contextmanager
def meta_device(dtype: torch.dtype) -> Iterator[None]:
    """Make every tensor on the meta device, with a default dtype, for the time of a `with`."""
    with torch.device("meta"), float_dtype(dtype):
        yield
