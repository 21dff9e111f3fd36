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


def hand_on(draw: Random, parent: Any, key: Any) -> None:
    """Put a block without a program around a layer, or give a call more inputs."""
    value = parent[key]
    if isinstance(value, str) and "(" in value and draw.random() < 0.5:
        parent[key] = value.replace(
            "(x)", draw.choice(["(x, x)", "(x, x, x)", "()", "(x, memory=x)", "(*x)"])
        )
        return
    first = draw.choice(
        [value, "Bilinear(3)", "MultiheadAttention(num_heads=1)", "LSTM(2)", "Pair", "Identity"]
    )
    parent[key] = draw.choice(
        [[first], {"layers": {"a": first}}, {"layers": {"a": [first], "b": value}}, first]
    )


def recur(draw: Random, parent: Any, key: Any) -> None:
    """Let a block contain itself: until an argument ends it, or without end."""
    title, _, rest = str(key).partition("(")
    name = re.split(r"[,=)]", rest)[0].strip() or "n"
    test = draw.choice([f"{name} > 0", f"{name} != 0", "True", f"{name}", "1 == 2", "index > 0"])
    call = f"{title}({name} {draw.choice(['- 1', '- 2', '+ 1', '// 2', '', '* 1.5'])})"
    again = draw.choice([{"if": test, "then": call}, {"repeat": name, "of": call}, {"residual": [call]}])
    parent[key] = draw.choice([[parent[key], again], [again], [again, again]])


OF_NESTING = (reach_inside, hand_on, recur)
