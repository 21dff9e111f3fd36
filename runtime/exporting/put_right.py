"""What torch's exporter leaves is put right: names, ties and open dimensions, on the graph before it is written.

The exporter's own optimiser is not used. It folds transposed weights, and statistics of BatchNorm, into tensors without
names, and takes small tensors of equal values for one. Here constants are folded where no tensor of the model goes in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes import Sequential, common
from onnxscript.optimizer import fold_constants_ir

from compiler.rules.plan import Plan
from runtime.exporting.dimensions import OpenDimensions

SYMBOL = re.compile(r"\b[su]\d+\b")
"""What torch calls a size that is open."""


def put_right(model: ir.Model, dimensions: OpenDimensions, outputs: Sequence[str]) -> None:
    """Mend the graph of a model in place. `outputs` are the names of what it returns."""
    graph, plan = model.graph, dimensions.artifact.plan
    own = {name for row in plan.rows for name in row.names}
    _fold(model, own)
    _name_ties(graph, plan)
    for value, entry in zip(graph.inputs, dimensions.inputs, strict=True):
        _rename(graph, value, entry.name)
    _return_copies(graph)
    taken = own | {entry.name for entry in dimensions.inputs}
    for value, name in zip(graph.outputs, outputs, strict=True):
        _rename(graph, value, f"output_{name}" if name in taken else name)
    _name_dimensions(graph, _symbols(graph, dimensions))
    common.ClearMetadataAndDocStringPass()(model)


def _fold(model: ir.Model, own: set[str]) -> None:
    """Compute what follows from constants alone, and remove what nothing reads."""
    common.InlinePass()(model)

    def should_fold(node: ir.Node) -> bool | None:
        return False if any(value is not None and value.name in own for value in node.inputs) else None

    fold_constants_ir(model, onnx_shape_inference=False, should_fold=should_fold)
    Sequential(
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
    )(model)


def _return_copies(graph: ir.Graph) -> None:
    """Let a tensor of the model that is returned as it is keep its name: a copy of it has that of the output."""
    for at, value in enumerate(graph.outputs):
        if value.is_initializer():
            copy = ir.node("Identity", [value])
            copy.outputs[0].shape, copy.outputs[0].type = value.shape, value.type
            graph.append(copy)
            graph.outputs[at] = copy.outputs[0]


def _name_ties(graph: ir.Graph, plan: Plan) -> None:
    """Let a tensor that has several names be one initializer, under the name that it is saved by."""
    for row in plan.rows:
        held = [graph.initializers[name] for name in row.names if name in graph.initializers]
        for other in held[1:]:
            other.replace_all_uses_with(held[0])
            del graph.initializers[str(other.name)]
        if held:
            _rename(graph, held[0], row.name)


def _rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    """Give a value a name, and whatever had it another one."""
    if value.name == name:
        return
    for other in _values(graph):
        if other.name == name:
            _set_name(graph, other, _free(graph, name))
    _set_name(graph, value, name)


def _set_name(graph: ir.Graph, value: ir.Value, name: str) -> None:
    held = value.is_initializer()
    if held:
        del graph.initializers[str(value.name)]
    value.name = name
    if held:
        graph.initializers.add(value)


def _free(graph: ir.Graph, name: str) -> str:
    taken = {value.name for value in _values(graph)}
    return next(each for number in range(1, len(taken) + 2) if (each := f"{name}_{number}") not in taken)


def _values(graph: ir.Graph) -> list[ir.Value]:
    """Return all values of a graph."""
    made = [value for node in graph.all_nodes() for value in node.outputs]
    return [*graph.inputs, *graph.initializers.values(), *made]


# Dimensions.


def _symbols(graph: ir.Graph, dimensions: OpenDimensions) -> dict[str, str]:
    """Return what the spec calls the sizes that torch gave names to."""
    found: dict[str, str] = {}
    for value, entry in zip(graph.inputs, dimensions.inputs, strict=True):
        for axis, text in dimensions.texts(entry).items():
            size = None if value.shape is None else value.shape[axis]
            if isinstance(size, ir.SymbolicDim) and size.value is not None:
                found.setdefault(size.value, text)
    return found


def _name_dimensions(graph: ir.Graph, symbols: Mapping[str, str]) -> None:
    """Call open sizes as the spec does. What torch computes of them is an expression of these names."""
    for value in _values(graph):
        if value.shape is not None and not value.is_initializer():
            for axis, size in enumerate(value.shape):
                if isinstance(size, ir.SymbolicDim) and size.value is not None:
                    value.shape[axis] = _named(size.value, symbols)


def _named(text: str, symbols: Mapping[str, str]) -> str | None:
    """Return an expression over symbols in the names of the spec, None if it holds one without a name."""
    if text in symbols:
        return symbols[text]
    if {*SYMBOL.findall(text)} <= symbols.keys():
        return SYMBOL.sub(lambda found: _in_brackets(symbols[found[0]]), text)
    return None


def _in_brackets(text: str) -> str:
    return text if text.isidentifier() else f"({text})"
