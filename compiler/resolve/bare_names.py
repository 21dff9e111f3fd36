"""Bare names of operations that were probably meant as layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compiler.catalogue.operation_table import SCALAR_OPERATIONS
from compiler.program import Call, Definition, Parameter, Scope
from compiler.resolve.calls import calls_of
from spec_schema.diagnostics import Diagnostic, Label


def bare_names(definitions: Iterable[Definition], scope: Scope) -> Iterator[Diagnostic]:
    """Yield what is wrong with operations that stand in layer positions without arguments and parentheses.

    An argument that was forgotten becomes such an operation without a word: `norm` of no argument is `torch.norm`.
    """
    layers = _layer_arguments(scope)
    for definition in definitions:
        for call in calls_of(definition):
            if call.kind == "operation" and call.is_bare and call.target not in scope.plugins.operations:
                yield from _problem(call, definition, layers)


def _problem(
    call: Call, definition: Definition, layers: dict[str, tuple[Definition, Parameter]]
) -> Iterator[Diagnostic]:
    name, is_block = call.target, definition.name in definition.scope.blocks
    labels: tuple[Label, ...] = ()
    if name in layers:
        other, parameter = layers[name]
        labels = (Label(parameter.span, f"the layer that `{other.name}` is given"),)
    if name in SCALAR_OPERATIONS:
        message = f"`{name}` is an operation here, and makes one number of all that flows"
    elif labels:
        message = f"`{name}` is an operation here, and elsewhere a layer that is given"
    else:
        return
    layer = f"make `{name}` an argument of `{definition.name}`" if is_block else "write its type"
    help = f"for a layer {layer}; for the operation write `{name}()`"
    yield Diagnostic("bare-operation", message, call.span, labels=labels, help=help)


def _layer_arguments(scope: Scope) -> dict[str, tuple[Definition, Parameter]]:
    """Return the arguments of blocks that are used as layers, by name, each with its block."""
    found: dict[str, tuple[Definition, Parameter]] = {}
    for definition in scope.blocks.values():
        used = {call.target for call in calls_of(definition) if call.kind == "recipe"}
        for parameter in definition.parameters:
            if parameter.name in used:
                found.setdefault(parameter.name, (definition, parameter))
    return found
