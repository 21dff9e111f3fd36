"""Infer: from a program to the states of all its layers, with every shape and dtype."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from compiler.catalogue.plugins import Registry
from compiler.infer.block_parameters import BlockParameters, check_extent, check_size, dtype_of
from compiler.infer.call_kinds import CallOf
from compiler.infer.chosen import CHOSEN, FIRST
from compiler.infer.conditions import Conditions
from compiler.infer.context import Context
from compiler.infer.dtypes import dtypes_of
from compiler.infer.engine import Engine
from compiler.infer.finished import finished
from compiler.infer.give_dtypes import give_dtypes
from compiler.infer.module_references import ModuleReference
from compiler.infer.on_meta import meta_device
from compiler.infer.sizes import OtherSizes
from compiler.infer.states import BlockState
from compiler.infer.symbols import symbolic_sizes
from compiler.infer.unmade import with_unmade
from compiler.infer.watched import watched
from compiler.program import ModelInput, ResolvedProgram, TensorEntry
from spec_schema.clock import Clock, stage
from spec_schema.diagnostics import Diagnostic, SpecError
from spec_schema.evaluate import evaluate
from spec_schema.limits import Limits

SECONDS_FOR_NAMES = 1.5
"""CPU time for naming the dimensions in an error, which should be printed within 2 seconds."""


@dataclass(frozen=True, eq=False)
class Inferred:
    """A program with the states of its layers. `output` is what the model returns when it evaluates."""

    program: ResolvedProgram
    root: BlockState
    inputs: Mapping[str, Tensor]
    output: Any
    limits: Limits
    dtype: torch.dtype
    """That of the model's own floating-point tensors, where no rule says another one."""
    asks_mode: bool
    """Whether anything in the model asks for the mode."""
    call_kinds: Mapping[int, CallOf]
    """What each call of a program is one of, by the identity of its `ast` node."""
    plain_values: frozenset[int]
    """The buffers whose value is a number or a list of them, by the identity of their entry."""
    others: tuple[tuple[Mapping[str, Tensor], int], ...] = ()
    """Inputs of other sizes, and how many elements data choose there, at which conditions come out otherwise."""

    @property
    def modes(self) -> tuple[bool, ...]:
        """The modes to run in: training and not, if anything asks for the mode."""
        return (True, False) if self.asks_mode else (False,)

    @property
    def plugins(self) -> Registry:
        return self.program.scope.plugins

    def context(self) -> Context:
        """Return what another run of a part of the model begins with."""
        return Context(self.limits, self.plugins, self.dtype)

    def value(self, entry: TensorEntry, state: BlockState) -> Tensor:
        """Compute the `value` of a buffer of a block, on whatever device torch makes tensors."""
        return BlockParameters(self.context()).value(entry, state)


@stage("infer")
def infer_shapes(program: ResolvedProgram, limits: Limits, dtype: torch.dtype = torch.float32) -> Inferred:
    """Run the program over meta tensors of the example sizes.

    Raises:
        SpecError: a shape, a dtype or an argument does not fit. Its shapes have the names of the symbolic
            dimensions where a second run, over symbols, comes to the same errors.
    """
    engine = Engine(limits, program.scope.plugins, dtype, program.variables_of)
    engine.leaves.aside = []
    with with_unmade(engine, engine.leaves.aside):
        return _infer_shapes(program, limits, dtype, engine)


def _infer_shapes(program: ResolvedProgram, limits: Limits, dtype: torch.dtype, engine: Engine) -> Inferred:
    runs = Runs(program, engine)
    try:
        runs.run(program.sizes)
    except SpecError as error:
        error = SpecError(map(runs.engine.chosen.told, error.diagnostics))
        if not any(map(_shows_shape, error.diagnostics)):
            raise error from None
        raise _with_symbols(program, limits, dtype, error) from None
    return _with_other_sizes(runs)


def infer_again(program: ResolvedProgram, limits: Limits, dtype: torch.dtype = torch.float32) -> Inferred:
    """Run a program that was inferred before, with other values of its variables: at its example sizes alone.

    Raises:
        SpecError: the program does not run with these values.
    """
    runs = Runs(program, Engine(limits, program.scope.plugins, dtype, program.variables_of))
    runs.run(program.sizes)
    return runs.inferred()


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
        with (
            clock.running(),
            stage("infer"),
            symbolic_sizes(program.sizes) as symbols,
            watched(program.model.span, tuple),
        ):
            Runs(program, Engine(limits, program.scope.plugins, dtype, program.variables_of)).run(symbols)
    except SpecError as symbolic:
        if _places(symbolic) == _places(error):
            return SpecError(map(_named, symbolic.diagnostics, error.diagnostics))
    except Exception:
        return error
    return error


def _named(symbolic: Diagnostic, example: Diagnostic) -> Diagnostic:
    """Take the headline of the example run where torch's own words hold its symbols, which mean nothing."""
    unnamed = re.search(r"\b[su]\d+\b", symbolic.message)
    return replace(symbolic, message=example.message, notes=example.notes) if unnamed else symbolic


def _places(error: SpecError) -> list[tuple[str, str]]:
    return [(diagnostic.code, str(diagnostic.span)) for diagnostic in error.diagnostics]


def _with_other_sizes(runs: Runs) -> Inferred:
    """Return what was inferred, after runs at other sizes of the open dimensions."""
    inputs, output = runs.inputs, runs.output
    sizes = {**runs.program.sizes, **({CHOSEN: FIRST} if runs.engine.chosen.masks else {})}
    others = OtherSizes(sizes, runs.run, lambda: runs.engine.conditions)
    if sizes:
        others.explore(runs.engine.conditions)
    return _inferred(runs, inputs, output, tuple(map(runs.sample, others.turning)))


def _inferred(
    runs: Runs,
    inputs: Mapping[str, Tensor],
    output: Any,
    others: tuple[tuple[Mapping[str, Tensor], int], ...] = (),
) -> Inferred:
    root = replace(finished(runs.engine, runs.root), output=output)
    engine = runs.engine
    return Inferred(
        runs.program,
        root,
        inputs,
        output,
        engine.limits,
        engine.dtype,
        engine.asked_mode,
        MappingProxyType(engine.call_kinds),
        frozenset(engine.own_tensors.numbers),
        others,
    )


@dataclass(eq=False)
class Runs:
    """Runs of one program, in all modes: each goes on from the states that the one before left."""

    program: ResolvedProgram
    engine: Engine

    def __post_init__(self) -> None:
        with meta_device(torch.float32):
            root = self.engine.builder.instantiate(self.program.model, {})
        self.root = give_dtypes(root, dtypes_of(self.program, root.values))
        self.inputs: Mapping[str, Tensor] = {}
        self.output: Any = None

    def samples(self, sizes: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return inputs without values."""
        with meta_device(self.engine.dtype):
            return sample_inputs(self.program, sizes)

    def sample(self, sizes: Mapping[str, int]) -> tuple[dict[str, Tensor], int]:
        """Return inputs without values, and the number that all sizes follow which data decide."""
        return self.samples(sizes), sizes.get(CHOSEN, FIRST)

    def run(self, sizes: Mapping[str, Any]) -> Conditions:
        """Run the model at some sizes of the named dimensions; return what numbers decided."""
        self.engine.begin(self.program.sizes, sizes)
        self.inputs = self.samples(sizes)
        root = self.root
        with meta_device(torch.float32):
            self.engine.training = True
            root, self.output = _run(self.engine, root, self.inputs, self.program)
            self.engine.training = False
            if self.engine.asked_mode:
                root, self.output = _run(self.engine, root, self.inputs, self.program)
        self.root = root
        return self.engine.conditions

    def inferred(self) -> Inferred:
        """Return what the run at hand came to."""
        return _inferred(self, self.inputs, self.output)


def _run(
    engine: Engine, root: BlockState, inputs: Mapping[str, Tensor], program: ResolvedProgram
) -> tuple[BlockState, Any]:
    cell = ModuleReference(engine, program.name, root)
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
    names = {**program.variables, **sizes}
    found = tuple(check_size(evaluate(part, names), part, names) for part in entry.type.dimensions)
    return check_extent(found, entry.type)
