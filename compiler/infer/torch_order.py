"""Calls of layers that mean one thing in PyTorch's order of arguments, and another one here."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from compiler.catalogue.layers import reads_as_torch
from compiler.infer.states import Leaf
from compiler.infer.values import show
from spec_schema.diagnostics import refuse
from spec_schema.grammar import Expression


def torch_help(state: Leaf, sizes: Mapping[str, Any]) -> str | None:
    """Return a help if the call seems to be copied from PyTorch, with its sizes."""
    positional, keywords = _given(state)
    if not reads_as_torch(state.layer, positional, keywords, sizes):
        return None
    names = " and ".join(f"`{name}`" for name in sizes)
    return f"{names} {'follow' if len(sizes) > 1 else 'follows'} from the input: write `{_without(state, sizes)}`"


def check_torch_order(state: Leaf, sizes: Mapping[str, Any]) -> None:
    """Refuse numbers that begin with the size of the input, and are a whole call in PyTorch's order too.

    Raises:
        SpecError: the call has two meanings.
    """
    written = [argument for argument in state.node.arguments if argument.name is None]
    positional, keywords = _given(state)
    if not written or not all(_is_number(argument.value) for argument in written):
        return  # variables may have the size of the input at some of their values
    if not reads_as_torch(state.layer, positional, keywords, sizes):
        return
    first, name = next(iter(state.values)), next(iter(sizes))
    named = ", ".join(f"{key}={show(value)}" for key, value in state.values.items())
    raise refuse(
        "inferred-argument",
        f"`{name}` of `{state.layer.name}` is inferred, and `{show(positional[0])}`, which it is here, "
        f"was read as `{first}`",
        written[0].span,
        notes=("in PyTorch's order the call means something else",),
        help=f"write `{_without(state, sizes)}` for what it means in PyTorch, else `{state.layer.name}({named})`",
    )


def _given(state: Leaf) -> tuple[list[object], dict[str, object]]:
    """Return the positional arguments, and the others by name."""
    count = sum(argument.name is None for argument in state.node.arguments)
    return list(state.values.values())[:count], dict(list(state.values.items())[count:])


def _without(state: Leaf, sizes: Mapping[str, Any]) -> str:
    """Return the call without the sizes that are inferred."""
    positional, keywords = _given(state)
    own = [*map(show, positional[len(sizes) :]), *(f"{k}={show(v)}" for k, v in keywords.items())]
    return f"{state.layer.name}({', '.join(own)})" if own else state.layer.name


def _is_number(value: object) -> bool:
    return isinstance(value, Expression) and isinstance(value.tree, ast.Constant)
