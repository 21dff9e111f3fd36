"""The function of a file that rounds widths to multiples."""

from __future__ import annotations

import ast

from compiler.emit.names import MAKE_DIVISIBLE
from compiler.emit.syntax import renamed
from compiler.emit.trees import names_in

SOURCE = '''
def make_divisible(value: float, divisor: int) -> int:
    """Round to a multiple of the divisor, and down by 10 % at most."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
'''


def rounding(code: ast.Module) -> list[ast.stmt]:
    """Return the function, if the finished code of a file calls it."""
    return [renamed(SOURCE, MAKE_DIVISIBLE)] if MAKE_DIVISIBLE in names_in(code) else []
