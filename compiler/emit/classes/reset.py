"""The method of one class that gives its tensors their first values."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from compiler.emit.classes.values import ClassValues
from compiler.emit.initialise import FirstValues, Holder
from compiler.emit.syntax import RESET, call, function, load_name, own, parameters
from compiler.placement.groups import group_key


def reset_method(
    values: ClassValues, first_values: FirstValues, conditions: Mapping[str, ast.expr]
) -> ast.FunctionDef | None:
    """Return the method, if the class has any values to give; `conditions` say which layers some instances have."""
    holder = Holder(
        group_key(values.states[0]),
        values.states,
        values.is_root,
        values.own,
        values.keep,
        values.is_variable,
        lambda name: _is_there(values, name, conditions[name]),
    )
    body = first_values.body(holder)
    return function(RESET, parameters([]), body, ast.Constant(None)) if body else None


def _is_there(values: ClassValues, name: str, test: ast.expr) -> ast.expr:
    """Return the condition under which an instance has a layer that some instances have not."""
    read = next((t for t in values.plain if isinstance(test, ast.Name) and values.local(t) == test.id), "")
    attribute = values.own(read)
    if attribute is None:
        return call("hasattr", load_name("self"), ast.Constant(name))
    values.keep(read)
    return own(attribute)
