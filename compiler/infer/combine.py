"""The results of branches made one value, by the operation that `combine` names."""

from __future__ import annotations

from functools import reduce
from typing import Any

from compiler.catalogue.operation_table import LIST_FIRST, STATISTICS
from compiler.infer.arguments import evaluate_arguments
from compiler.infer.calls import TORCH_ERRORS, check_arguments, operation_named
from compiler.infer.context import Context
from compiler.infer.one_dtype import check_dtypes
from compiler.infer.reasons import forms, refusal
from compiler.infer.states import BlockState
from compiler.infer.watched import call_watched
from compiler.program import Call, ParallelBody
from spec_schema.diagnostics import refuse
from spec_schema.source import Span


def combine_values(
    engine: Context, combine: Call | None, values: list[Any], state: BlockState, place: Span
) -> Any:
    """Return the combination: an operation over a list gets the list, another one folds it two by two."""
    name = combine.target if combine is not None else "add"
    span = combine.span if combine is not None else place
    given = evaluate_arguments(combine, state.values, engine.limits) if combine is not None else None
    positional = list(given.positional) if given else []
    keywords = dict(given.keywords) if given else {}
    plugins = engine.plugins.operations
    if name in STATISTICS and name not in plugins:
        help = "a program gives it buffers that are `updated`"
        raise refuse("not-updated", f"`{name}` would change one of the values that it joins", span, help=help)
    if name not in plugins:
        check_arguments(span, name, [values, *positional], keywords)
    parallel = isinstance(state.definition.body, ParallelBody)
    names = [*state.children] if parallel else ["x", "the layers"]
    check_dtypes(name, names, values, span, engine.trail.notes())

    def combined(*arguments: Any) -> Any:
        function = operation_named(name, plugins)
        return call_watched(span, engine.trail.notes, function, arguments, keywords)

    try:
        if name in LIST_FIRST or name in plugins:
            return combined(values, *positional)
        return reduce(lambda a, b: combined(a, b, *positional), values)
    except TORCH_ERRORS as error:
        raise refuse(
            "shape-mismatch",
            refusal("the residual" if combine is None else f"`{name}`", error, values),
            span,
            label=forms(names, values),
            notes=engine.trail.notes(),
        ) from None
