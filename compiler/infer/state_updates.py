"""Checks of what a program does to the buffers of its block: new values, and operations that change them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from compiler.catalogue.operation_table import STATISTICS
from compiler.infer.values import show
from spec_schema.diagnostics import refuse
from spec_schema.grammar import Source


def check_update(source: Source, target: ast.Name, buffer: Tensor, value: Any) -> None:
    """Refuse a new value of a buffer that is of another form: the buffer stays the tensor that it is."""
    if isinstance(value, Tensor) and (value.shape, value.dtype) == (buffer.shape, buffer.dtype):
        return
    raise refuse(
        "update-form",
        f"the buffer `{target.id}` is {form(buffer)}, and would be {form(value)}",
        source.span(target),
        notes=("a buffer keeps its shape and dtype",),
        help=_help(target.id, buffer, value),
    )


def _help(name: str, buffer: Tensor, value: Any) -> str | None:
    if not isinstance(value, Tensor):
        return (
            f"make it a tensor: `full_like({name}, {show(value)})`" if type(value) in (int, float) else None
        )
    return f"convert it: `.to({name}.dtype)`" if value.shape == buffer.shape else None


def form(value: Any) -> str:
    """Return a tensor type, or a value that is no tensor."""
    return (
        f"{str(value.dtype).removeprefix('torch.')}{show(value)}"
        if isinstance(value, Tensor)
        else show(value)
    )


def check_statistics(
    source: Source,
    updated: frozenset[str],
    node: ast.Call,
    name: str,
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> None:
    """Refuse an operation that would change a tensor which is no buffer that the program updates."""
    found = STATISTICS[name]
    flag, place = found.flag
    changes = arguments[place] if place < len(arguments) else keywords.get(flag, True)
    written = {k.arg: k.value for k in node.keywords}
    for argument, at in found.arguments.items() if changes else ():
        value = node.args[at] if at < len(node.args) else written.get(argument)
        given = arguments[at] if at < len(arguments) else keywords.get(argument)
        if given is None or value is None or (isinstance(value, ast.Name) and value.id in updated):
            continue
        raise refuse(
            "not-updated",
            f"`{name}` would change `{ast.unparse(value)}`, which is no buffer that this program updates",
            source.span(value),
            help=f"give it a buffer of the block: `running: {{value: ..., updated: true}}`, or `{flag}=False`",
        )


def is_view(value: Tensor, buffer: Tensor) -> bool:
    """Return whether a value has its elements where a buffer has them."""
    return bool(value.untyped_storage()._cdata == buffer.untyped_storage()._cdata)
