"""The untied twin of a spec: the same computation, with nothing shared and no layer run twice under one name."""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from itertools import count
from typing import Any

from spec_schema.keys import called, split_key

Node = Any
AGAIN, BORROWED = "_again", "_borrowed"


def untied(document: dict[str, Any]) -> dict[str, Any]:
    """Return a spec that gives each use of a layer a layer of its own, named as `original` undoes it.

    It has no rules either: what is computed does not depend on them once values are copied, and a rule may name a
    layer that only lists run, each of which has a copy here.
    """
    twin = deepcopy(document)
    _drop_rules(twin)
    for body in [*twin.get("blocks", {}).values(), twin["model"]]:
        _untie(body)
    return twin


def original(name: str) -> str:
    """Return the name, in the spec, of a tensor of its twin."""
    before = ""
    while name != before:  # a list that runs a list that runs a layer
        before, name = name, re.sub(rf"[\w-]+\.([\w-]+){BORROWED}\d+", r"\1", name, count=1)
    return re.sub(rf"{AGAIN}\d+", "", name)


def _drop_rules(twin: dict[str, Any]) -> None:
    for body in [*twin.get("blocks", {}).values(), twin["model"], twin]:
        for section in ("share", "init", "freeze") if isinstance(body, dict) else ():
            body.pop(section, None)


def _untie(node: Node) -> None:
    """Untie what is inside a node, in place."""
    if isinstance(node, list):
        _untie_row(node)
    if isinstance(node, dict):
        program = next((key for key in node if key.partition("(")[0] == "forward"), None)
        if program is not None:
            _untie_lists(node.get("layers", {}))
            node[program] = _untie_program(node[program], node.get("layers", {}))
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(part, dict | list):
            _untie(part)


def _untie_row(items: list[Node]) -> None:
    named: dict[str, tuple[str, Node]] = {}
    numbers = count(1)
    for at, item in enumerate(items):
        if isinstance(item, str) and item in named:
            key, made = named[item]
            items[at] = {f"{key}{AGAIN}{next(numbers)}": deepcopy(made)}
        elif isinstance(item, dict) and len(item) == 1:
            named.update(_by_name(item))


def _by_name(layers: dict[str, Node]) -> dict[str, tuple[str, Node]]:
    """Return the key and the node of each layer by its name."""
    return {called(written): (split_key(written)[0], made) for written, made in layers.items()}


def _untie_lists(layers: dict[str, Node]) -> None:
    """Give each list a layer of its own for each one of the block around it that it runs."""
    numbers = count(1)
    around = _by_name(layers)
    for items in layers.values():
        if not isinstance(items, list):
            continue
        own = {called(next(iter(item))) for item in items if isinstance(item, dict) and len(item) == 1}
        for at, item in enumerate(items):
            if isinstance(item, str) and item in around and item not in own:
                key, made = around[item]
                items[at] = {f"{key}{BORROWED}{next(numbers)}": deepcopy(made)}


def _untie_program(text: str, layers: dict[str, Node]) -> str:
    """Name a layer anew at each place of a program, from the second on, that calls it or goes over its copies."""
    tree = ast.parse(text)
    seen: set[str] = set()
    numbers = count(1)
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Call | ast.For | ast.comprehension)]
    around = _by_name(layers)
    for node in sorted(nodes, key=_place):
        for used in _uses(node):
            if used.id in around and used.id in seen:
                (key, made), again = around[used.id], f"{AGAIN}{next(numbers)}"
                used.id += again
                layers[f"{key}{again} as {used.id}"] = deepcopy(made)
            seen.add(used.id)
    return ast.unparse(tree) + "\n"


def _place(node: ast.AST) -> tuple[int, int]:
    at: Any = node.target if isinstance(node, ast.comprehension) else node
    return at.lineno, at.col_offset


def _uses(node: ast.AST) -> list[ast.Name]:
    """Return the names that a node calls, or goes over."""
    called = node.func if isinstance(node, ast.Call) else getattr(node, "iter", None)
    return [called] if isinstance(called, ast.Name) else []
