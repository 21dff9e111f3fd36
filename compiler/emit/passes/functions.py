"""The functions of a file: those at its top level, and the methods of its classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the functions of a file. None is in another: emitted source has no closures."""
    for node in tree.body:
        for each in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.FunctionDef):
                yield each
