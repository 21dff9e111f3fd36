"""Whether a type checker minds that a class takes or gives other values than the layer that it extends."""

from __future__ import annotations

import ast
import inspect
import typing

from torch import nn


def is_incompatible(base: nn.Module, forward: ast.FunctionDef) -> bool:
    """Return whether a `forward` cannot stand wherever that of a layer can, which a type checker says."""
    method = type(base).forward
    if typing.get_overloads(method):
        return True
    takes = list(inspect.signature(method).parameters.values())[1:]
    if all(each.annotation is each.empty for each in takes):
        return False  # nothing is said of it
    own = len(forward.args.args) - 1
    required = sum(each.default is each.empty for each in takes)
    gives = inspect.signature(method).return_annotation
    returns = "Any" if forward.returns is None else ast.unparse(forward.returns)
    return own - len(forward.args.defaults) > required or own < len(takes) or returns != _written(gives)


def _written(annotation: object) -> str:
    return getattr(annotation, "__name__", str(annotation))
