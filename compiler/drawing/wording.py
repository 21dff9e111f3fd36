"""How a picture names what is called: layers with the arguments that the spec writes, operators by their signs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from compiler.infer.states import BlockState, Chain, Leaf, Operation, State, base_of
from compiler.infer.values import show
from compiler.program import Repeat
from spec_schema.shown import shown

SIGNS = {"add": "+", "sub": "−", "mul": "×", "*": "×", "-": "−", "div": "÷", "/": "÷", "@": "matmul"}
LONGEST = 48
"""Characters of a text in a box."""


def called(what: str, node: ast.AST | None = None) -> str:
    """Return what an operation, a method or an operator is called in a picture."""
    if isinstance(node, ast.Subscript):
        return cut(f"[{ast.unparse(node.slice).removeprefix('(').removesuffix(')')}]")
    return cut(SIGNS.get(what, what.rpartition(".")[2]))


def cut(text: str) -> str:
    """Return a text that fits into a box, and is safe to show."""
    return shown(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def operation_text(path: str, text: str) -> str:
    """Return the label of an operation among layers: what it is, behind its name if that is no index."""
    name = path.rpartition(".")[2]
    return text if name.isdecimal() or name in ("", text) else cut(f"{name}: {text}")


def type_text(state: State) -> str:
    """Return the type of a layer with its arguments."""
    match state:
        case Leaf():
            return cut(state.layer.name + _arguments(state.values, _positional(state)))
        case Operation():
            return cut(state.name + _arguments(state.keywords, (), state.positional))
        case BlockState():
            base = base_of(state)
            return cut(state.definition.name + (f": {base.layer.name}" if base is not None else ""))
        case Chain():
            return "repeat" if isinstance(state.node, Repeat) else "list"
    return "Identity"


def _positional(leaf: Leaf) -> tuple[str, ...]:
    """Return the names of the arguments that are written without one."""
    count = sum(argument.name is None for argument in leaf.node.arguments)
    return tuple(leaf.values)[:count]


def _arguments(
    keywords: Mapping[str, object], unnamed: Sequence[str], positional: Sequence[object] = ()
) -> str:
    named = [show(value) if name in unnamed else f"{name}={show(value)}" for name, value in keywords.items()]
    texts = [*map(show, positional), *named]
    return f"({', '.join(texts)})" if texts else ""
