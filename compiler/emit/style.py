"""The layout of emitted source: what a linter and a formatter leave unchanged."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import lru_cache

LINE_LENGTH = 110
STANDARD_LIBRARY = ("collections", "math")
REMEMBERED = 32
"""Formatting takes longer than all the rest of a small model's build."""
_EMPTY_FIRST_LINE = re.compile(r"^(class .*:\n)\n(?=    def )", re.MULTILINE)


def format_tree(tree: ast.Module) -> str:
    """Return the source of a tree, formatted."""
    return _formatted(_EMPTY_FIRST_LINE.sub(r"\1", _source(tree)))


@lru_cache(REMEMBERED)
def _formatted(text: str) -> str:
    """Return formatted source. A model that is loaded or placed again has the source that it had before."""
    import black
    from black.mode import TargetVersion

    return black.format_str(
        text, mode=black.Mode(target_versions={TargetVersion.PY311}, line_length=LINE_LENGTH)
    )


def _source(tree: ast.Module) -> str:
    """Return the source with an empty line between the groups of imports."""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    standard = [node for node in imports if _module(node) in STANDARD_LIBRARY]
    others = [node for node in imports if node not in standard]
    at = tree.body.index(imports[0]) if imports else 0
    head, rest = tree.body[:at], [node for node in tree.body[at:] if node not in imports]
    parts = [_unparse(part) for part in (head, standard, others, rest)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _module(node: ast.Import | ast.ImportFrom) -> str:
    return node.names[0].name if isinstance(node, ast.Import) else str(node.module)


def _unparse(body: Sequence[ast.stmt]) -> str:
    return ast.unparse(ast.Module(list(body), [])).strip("\n")
