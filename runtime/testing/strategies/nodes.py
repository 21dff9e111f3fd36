"""What a layer position may hold: sequences, repeats, branches, residuals, choices, calls, and names again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from runtime.testing.strategies.draft import (
    Contract,
    Scope,
    condition,
    fresh,
    joined,
    key_of,
    number,
    seen_inside,
    total,
    width,
)
from runtime.testing.strategies.layers import Node, changing, count, keeping, projection
from runtime.testing.strategies.tensors import FEATURES, IMAGE, Draw, Flow, Width, pick, rarely

ITEMS = ("fc", "up", "act", "norm", "block", "mix", "down", "inner", "head", "stem", "conv", "proj")


@dataclass
class Row:
    """A sequence while it is drawn: its items, and the flow before and after each named one.

    `spliced` is what it is spliced in by: nothing, or `if`, whose items are named but not run again, or `repeat`, whose
    items are named by the number of the copy, or `again`, a repeat in a repeat, whose items have no names.
    """

    items: list[Node] = field(default_factory=list)
    named: dict[str, tuple[Flow, Flow]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    spliced: str = ""


def node(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool = False) -> tuple[Node, Flow]:
    """Draw what may stand in a layer position, and the flow after it; `keep` asks for the flow that there was."""
    if depth <= 0 or draw(st.integers(0, 4)) < 2:
        if keep:
            return keeping(draw, scope, flow), flow
        return changing(draw, scope, flow) if not rarely(draw, 3) else (keeping(draw, scope, flow), flow)
    return pick(draw, *FORMS)(draw, scope, flow, depth - 1, keep)  # type: ignore[no-any-return]


def sequence(
    draw: Draw,
    scope: Scope,
    flow: Flow,
    depth: int,
    keep: bool = False,
    gives: Width | None = None,
    row: Row | None = None,
) -> tuple[list[Node], Flow]:
    """Draw the items of a list, and the flow after them: of the width `gives`, or the same with `keep`."""
    row = row or Row()
    start = flow
    free = gives is not None or (keep and flow.width.known and not rarely(draw, 3))
    for _ in range(draw(st.integers(1, 3))):
        flow = item(draw, scope, row, flow, depth, keep and not free, free)
    wanted = gives or (start.width if keep else None)
    if wanted is not None and (gives is not None or flow != start):
        row.items.append(projection(draw, scope, flow, wanted))
        flow = flow.wide(wanted)
    return row.items, flow


def item(draw: Draw, scope: Scope, row: Row, flow: Flow, depth: int, keep: bool, same_size: bool) -> Flow:
    """Draw one more item of a list: a layer that is named in it already, or another one."""
    again = [
        (n, after)
        for n, (before, after) in row.named.items()
        if before == flow and not (keep and after != flow)
    ]
    if depth > 0 and rarely(draw, 6):
        row.items.append(splice(draw, scope, row, flow, depth - 1))
        return flow
    if again and not row.spliced and not rarely(draw, 3):
        name, after = pick(draw, *again)
        row.items.append(name)
        return after  # type: ignore[no-any-return]
    made, after = node(draw, scope, flow, depth, keep)
    if same_size and (after.layout, after.size) != (flow.layout, flow.size):
        made, after = keeping(draw, scope, flow), flow
    if row.spliced != "again" and rarely(draw, 2):
        name = fresh(draw, row.taken, ITEMS)
        row.named[name] = (flow, after)
        made = {f"{name}_{{index}}" if row.spliced == "repeat" else key_of(draw, row.taken, name): made}
    elif row.spliced and isinstance(made, dict):
        made.pop("name", None)  # each copy of the list would give the copies in it the same names
    row.items.append(made)
    return after


def splice(draw: Draw, scope: Scope, row: Row, flow: Flow, depth: int) -> Node:
    """Draw items of the list itself, over and over or on a condition. They keep the form of the flow."""
    if rarely(draw, 2):
        made: Node = {"if": condition(draw, scope)}
        inner = Row(taken=row.taken, spliced=row.spliced or "if")
        made["splice"], _ = sequence(draw, scope, flow, depth, keep=True, row=inner)
        if rarely(draw, 2):
            inner = Row(taken=row.taken, spliced=row.spliced or "if")
            made["else"], _ = sequence(draw, scope, flow, depth, keep=True, row=inner)
        return made
    inner = Row(taken=row.taken, spliced="again" if row.spliced in ("repeat", "again") else "repeat")
    seen = seen_inside(flow, scope.draft)
    items, _ = sequence(draw, scope.within(()), seen, depth, keep=True, row=inner)
    return {"repeat": count(draw, scope), "splice": items}


def nested(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool) -> tuple[Node, Flow]:
    return sequence(draw, scope, flow, depth, keep)


def residual(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool) -> tuple[Node, Flow]:
    inner, _ = sequence(draw, scope, flow, depth, keep=True)
    made: Node = {"residual": inner[0] if len(inner) == 1 and not isinstance(inner[0], dict) else inner}
    if rarely(draw, 4):
        made["combine"] = pick(draw, "mul", "add(alpha=0.5)", "maximum", "sub")
    return made, flow


def parallel(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool) -> tuple[Node, Flow]:
    """Draw branches that are joined side by side, or folded into one of the same shape."""
    if keep or rarely(draw, 2):
        wanted = None if keep else width(draw, scope)
        branches = [
            sequence(draw, scope, flow, depth, keep, wanted)[0] for _ in range(draw(st.integers(1, 3)))
        ]
        combine = pick(draw, "add", "mul", "maximum", "lerp(weight=0.25)")
        after = flow if wanted is None else flow.wide(wanted)
        return {"parallel": _labelled(draw, branches), "combine": combine}, after
    wants = [width(draw, scope) for _ in range(draw(st.integers(1, 2)))]
    branches = [sequence(draw, scope, flow, depth, gives=wanted)[0] for wanted in wants]
    if flow.layout != IMAGE and len(wants) == 2 and wants[0] == wants[1]:
        return [
            {"parallel": _labelled(draw, branches), "combine": "stack(dim=-1)"},
            "flatten(-2)",
        ], flow.wide(total(wants[0], wants[1], scope.draft))
    combine = f"cat(dim={flow.axis})"
    return {"parallel": _labelled(draw, branches), "combine": combine}, joined(flow, wants, scope.draft)


def _labelled(draw: Draw, branches: list[Node]) -> Node:
    """Write branches as a list or with names, and a list of one item as the item."""
    bare = [b[0] if len(b) == 1 and not _is_named(b[0]) and not rarely(draw) else b for b in branches]
    if rarely(draw, 2):
        taken: set[str] = set()
        return {fresh(draw, taken, ("left", "right", "a", "wide")): branch for branch in bare}
    return bare


def _is_named(made: Node) -> bool:
    keys = {"repeat", "parallel", "residual", "if", "layer"}
    return isinstance(made, dict) and not keys & set(made)


def repeat(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool) -> tuple[Node, Flow]:
    """Draw copies of a layer that keeps the shape, or copies with a width of their own each."""
    if not keep and rarely(draw, 2):
        return widths(draw, scope, flow)
    names: list[str] = []
    over: Node = count(draw, scope)
    if rarely(draw, 3):
        over = pick(draw, [2, 3], [1], [[1, 2], [3, 4]], [[2, 1], [2, 1], [4, 1]])
        names = ["size", "step"][: 2 if isinstance(over[0], list) else 1]
    index = "turn" if rarely(draw, 4) else "index"
    more = running(draw, scope, index, names) if rarely(draw, 4) else {}
    inner = scope.within([*names, *more], index)
    of, _ = sequence(draw, inner, seen_inside(flow, scope.draft), depth, keep=True)
    made = {"repeat": over, "of": of[0] if len(of) == 1 and not _is_named(of[0]) else of}
    if names:
        made["as"] = names[0] if len(names) == 1 else names
    made |= {"index": index} if index != "index" else {}
    made |= {"running": more} if more else {}
    if rarely(draw, 4):
        stem = fresh(draw, scope.draft.taken, ("copy", "layer", "unit"))
        made["name"] = f"{stem}{{{pick(draw, '{0}', '{0} + 1', '2 * {0}').format(index)}}}"
    return made, flow


def running(draw: Draw, scope: Scope, index: str, names: list[str]) -> dict[str, list[Node]]:
    """Draw values that go from copy to copy."""
    after = str(pick(draw, "grown + 1", "2 * grown", "grown + {0}", "max(grown, {0} + 1)"))
    values: dict[str, list[Node]] = {"grown": [number(draw, scope), after.format(index)]}
    return values | ({"step": [2, "max(grown, step)"]} if "step" not in names and rarely(draw, 3) else {})


def widths(draw: Draw, scope: Scope, flow: Flow) -> tuple[Node, Flow]:
    """Draw `repeat` over a list of widths."""
    over = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    of: Node = projection(draw, scope, flow.wide(scope.draft.unknown()), Width("features"))
    if rarely(draw, 2):
        of = [of, keeping(draw, scope, flow)]
    return {"repeat": over, "as": "features", "of": of}, flow.wide(Width(str(over[-1]), over[-1] % 2 == 0))


def choice(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool) -> tuple[Node, Flow]:
    made: Node = {"if": condition(draw, scope)}
    wanted = None if keep or rarely(draw, 2) else width(draw, scope)
    made["then"], _ = sequence(draw, scope, flow, depth, wanted is None, wanted)
    if wanted is not None or rarely(draw, 2):
        made["else"], _ = sequence(draw, scope, flow, depth, wanted is None, wanted)
    for key in ("then", "else"):
        if key in made and len(made[key]) == 1 and not _is_named(made[key][0]):
            made[key] = made[key][0]
    return made, flow if wanted is None else flow.wide(wanted)


def block(draw: Draw, scope: Scope, flow: Flow, depth: int, keep: bool) -> tuple[Node, Flow]:
    """Draw the call of a block, of one that there is or of a new one."""
    fitting = [c for c in scope.draft.contracts if fits(c, flow, keep)]
    if fitting and not rarely(draw, 2):
        return block_call(draw, scope, flow, pick(draw, *fitting))
    contract = scope.draft.new_block(draw, scope.draft, flow.family, depth)
    if fits(contract, flow, keep):
        return block_call(draw, scope, flow, contract)
    return keeping(draw, scope, flow), flow


def fits(contract: Contract, flow: Flow, keep: bool) -> bool:
    """Return whether a block can be called here."""
    if contract.layout != flow.family or (keep and not contract.keeps):
        return False
    return contract.takes is None or (flow.width.known and len(flow.width.text) < 16)


def block_call(draw: Draw, scope: Scope, flow: Flow, contract: Contract) -> tuple[Node, Flow]:
    """Draw the call of a block: by position or by keyword, defaults left out now and then."""
    given: dict[str, str] = {}
    by_position = True
    parts = []
    for argument in contract.arguments:
        if argument.default is not None and argument.name != contract.takes and rarely(draw, 2):
            by_position = False
            given[argument.name] = argument.default
            continue
        text = argument_text(draw, scope, flow, contract, argument.name, argument.kind)
        given[argument.name] = text
        by_position = by_position and not rarely(draw, 3)
        parts.append(text if by_position else f"{argument.name}={text}")
    after = flow if contract.keeps else flow.wide(scope.draft.unknown())
    if contract.gives is not None and not contract.keeps:
        text = given[contract.gives]
        after = flow.wide(Width(text, text in ("2", "4") or text.startswith("2 * ")))
    called = f"{contract.name}({', '.join(parts)})" if parts or rarely(draw) else contract.name
    return called, after


def argument_text(draw: Draw, scope: Scope, flow: Flow, contract: Contract, name: str, kind: str) -> str:
    """Draw an argument of a block."""
    if name == contract.takes:
        return flow.width.text
    if kind == "flag":
        return str(pick(draw, "True", "False", *scope.flags, condition(draw, scope)))
    if kind == "text":
        return str(pick(draw, "'none'", "'tanh'", *scope.texts))
    if kind == "numbers":
        return str(pick(draw, "[2]", "[1, 3]", f"[{number(draw, scope)}, 2]"))
    if kind == "recipe":
        return recipe(draw, scope, flow)
    return number(draw, scope)


def recipe(draw: Draw, scope: Scope, flow: Flow) -> str:
    """Draw a layer as an argument: it keeps the shape."""
    plain = ["ReLU", "LayerNorm", "Dropout(0.1)", "GELU(approximate='tanh')", "PReLU"]
    if flow.family == IMAGE:
        plain = [
            "ReLU",
            "BatchNorm2d",
            "GroupNorm(1)",
            "MaxPool2d(3, stride=1, padding=1)",
            "BatchNorm2d(eps=1e-3)",
        ]
    keeping_blocks = [c for c in scope.draft.contracts if fits(c, flow, True) and c.takes is None]
    if keeping_blocks and rarely(draw, 2):
        inner = [c for c in keeping_blocks if all(a.kind != "recipe" for a in c.arguments)]
        if inner:
            return str(block_call(draw, scope, flow, pick(draw, *inner))[0])
    return str(pick(draw, *plain, *scope.recipes))


FORMS: tuple[Any, ...] = (nested, residual, repeat, parallel, block, choice, block, block)

__all__ = ["FEATURES", "Row", "block_call", "fits", "node", "recipe", "sequence"]
