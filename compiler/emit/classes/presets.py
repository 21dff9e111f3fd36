"""The presets of a spec as class methods, which make the model with their values."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from torch import nn

from compiler.emit.classes.values import ClassValues
from compiler.emit.literals import literal
from compiler.emit.runs import fixed
from compiler.emit.syntax import call, function, load_name
from spec_schema.names import unused


def preset_methods(values: ClassValues) -> list[ast.stmt]:
    """Return a method for each preset; only the class of the model has any."""
    presets = values.runs.presets if values.is_root else {}
    return [_preset(values, name, given) for name, given in presets.items()]


def _preset(values: ClassValues, name: str, given: Mapping[str, Any]) -> ast.stmt:
    own = {values.local(t): literal(fixed(v)) for t, v in given.items() if t in values.group.variables}
    arguments = ast.arguments([], [ast.arg("cls")], None, [], [], None, [])
    taken = {*dir(nn.Module), *values.states[0].children, *values.plain}
    made = function(unused(name, taken), arguments, [ast.Return(call("cls", **own))], load_name("Self"))
    made.decorator_list = [load_name("classmethod")]
    return made
