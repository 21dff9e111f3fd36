"""Say of the attributes of a class what a type checker cannot see: a registered buffer is a tensor."""

from __future__ import annotations

import ast
import builtins

from compiler.emit.names import RESERVED
from compiler.emit.trees import is_own

HIDING = RESERVED | set(dir(builtins))
"""Names that mean something else where a class is read: a buffer that is called so has no annotation."""


def annotate_buffers(tree: ast.Module) -> ast.Module:
    """Annotate the buffers that the methods of a class read: `inv_freq: Tensor`."""
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef):
            buffers = _buffers(cls)
            nodes = ast.walk(cls) if buffers else ()
            read = {node.attr for node in nodes if is_own(node)}
            found = [name for name in buffers if name in read and name not in HIDING]
            at = 1 if ast.get_docstring(cls) is not None else 0
            cls.body[at:at] = [_annotated(name) for name in found]
    return tree


def _buffers(cls: ast.ClassDef) -> list[str]:
    calls = [node for node in ast.walk(cls) if isinstance(node, ast.Call) and _registers(node.func)]
    return [str(ast.literal_eval(each.args[0])) for each in calls]


def _registers(function: ast.expr) -> bool:
    return is_own(function) and function.attr == "register_buffer"


def _annotated(name: str) -> ast.stmt:
    return ast.AnnAssign(ast.Name(name, ast.Store()), ast.Name("Tensor", ast.Load()), None, 1)
