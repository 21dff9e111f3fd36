"""The literals of plain values, as `ast` nodes."""

from __future__ import annotations

import ast
from typing import Any

from compiler.emit.syntax import call, dotted, number
from compiler.infer.values import Recipe


def literal(value: Any) -> ast.expr:
    """Return the literal of a plain value."""
    match value:
        case bool() | None | str() | Recipe():  # a layer of which is asked no more than whether it is there
            return ast.Constant(value)  # type: ignore[arg-type]
        case int() | float():
            return number(value)
        case list():
            return ast.List([literal(item) for item in value], ast.Load())
        case tuple():
            return ast.Tuple([literal(item) for item in value], ast.Load())
        case range():
            bounds = (value.start, value.stop) if value.start else (value.stop,)
            return call("range", *map(literal, bounds))
        case dict():
            return ast.Dict([literal(key) for key in value], [literal(item) for item in value.values()])
    text = str(value)
    if text.startswith("torch."):
        return dotted(text)
    raise TypeError(f"no literal for a {type(value).__name__}")
