"""Mutators of how blocks nest: what a program reaches inside of its layers."""

from __future__ import annotations

import re
from random import Random
from typing import Any

WAYS = (
    *(
        ".encoder",
        ".weight",
        ".bias",
        "[0]",
        "[-1]",
        "[9]",
        "[:1]",
        ".a.b",
        "[0].weight",
        ".forward",
        ".data",
    ),
    *(".state_dict", ".running_mean", ".mT", "['a']", "[x]", ".x", ".T.weight"),
)
"""What may stand behind the name of a layer, whether it has that or not."""


def reach_inside(draw: Random, parent: Any, key: Any) -> None:
    """Put something behind a name in a program, as if it were a layer with parts."""
    value = parent[key]
    names = list(re.finditer(r"\b[a-z]\w*", value)) if isinstance(value, str) else []
    if names:
        end = draw.choice(names).end()
        parent[key] = value[:end] + draw.choice(WAYS) + value[end:]
    else:
        parent[key] = f"pair{draw.choice(WAYS)}(x)"


OF_NESTING = (reach_inside,)
