"""Definitions of blocks: a signature, a body in one of its forms, and the contract under which it is called."""

from __future__ import annotations

from typing import Any

from runtime.testing.strategies.draft import BOUND, Argument, Contract, Draft, Scope, fresh, number
from runtime.testing.strategies.extends import base
from runtime.testing.strategies.layers import Node
from runtime.testing.strategies.nodes import sequence
from runtime.testing.strategies.programs import forward_body
from runtime.testing.strategies.tensors import Draw, Flow, Width, pick, rarely
from spec_schema.keys import called

NAMES = ("Block", "Mlp", "Unit", "Mixer", "Stage", "Wrap", "Module", "Spec", "Relu", "Any")
"""None of `HIDING`: a layer of the same name would stand for the block."""
NUMBERS = ("dim", "hidden", "k", "features", "out", "heads")


def new_block(draw: Draw, draft: Draft, layout: str, depth: int) -> Contract:
    """Draw a block into the draft, and return how it is called."""
    name = str(pick(draw, *([n for n in NAMES if n not in draft.taken] or ["Part"])))
    name = _unique(name[:1].upper() + name[1:], draft)
    arguments = _arguments(draw, draft)
    draft.taken |= {argument.name for argument in arguments}
    scope = _scope(draft, arguments)
    numbers = [a.name for a in arguments if a.kind == "number"]
    takes = pick(draw, None, *numbers)
    gives = pick(draw, *numbers, None)
    keeps = gives is None or gives == takes
    start = Flow(layout, Width(takes) if takes else draft.unknown())
    optional: tuple[str, ...] = ()
    wanted = None if keeps else Width(gives)
    if rarely(draw, 2):
        body, optional = forward_body(draw, scope, start, depth, wanted)
    else:
        body = sequence_body(draw, scope, start, depth, wanted, wanted is None)
        if isinstance(body, list) and rarely(draw, 6):
            body = {"extends": base(draw, start), "layers": _as_layers(draw, body)}
        else:
            optional = handed_on(body, draft)
    contract = Contract(name, layout, arguments, takes, gives, keeps, optional)
    draft.blocks[_signature(contract)] = body
    draft.contracts.append(contract)
    return contract


def _unique(name: str, draft: Draft) -> str:
    number_, wanted = 2, name
    while name in draft.taken:
        name, number_ = f"{wanted}{number_}", number_ + 1
    draft.taken.add(name)
    return name


def _arguments(draw: Draw, draft: Draft) -> tuple[Argument, ...]:
    taken = {*BOUND, *(contract.name for contract in draft.contracts)}
    kinds = pick(
        draw,
        ("number",),
        (),
        ("number", "number"),
        ("number", "flag"),
        ("recipe", "number"),
        ("text", "number"),
        ("number", "numbers", "flag"),
        ("recipe",),
    )
    pools = {"number": NUMBERS, "flag": ("wide", "deep"), "text": ("mode",), "recipe": ("make", "kind")}
    pools["numbers"] = ("sizes",)
    made = []
    for at, kind in enumerate(kinds):
        has_default = at == len(kinds) - 1 and rarely(draw, 2)
        name = fresh(draw, taken, pools[kind])
        made.append(Argument(name, kind, _default(draw, draft, kind) if has_default else None))
    return tuple(made)


def _default(draw: Draw, draft: Draft, kind: str) -> str:
    if kind == "flag":
        return str(pick(draw, "True", "False"))
    if kind == "recipe":
        return str(pick(draw, "ReLU", "Dropout(0.5)"))
    return {"text": "'none'", "numbers": "[1, 2]"}.get(kind) or str(pick(draw, "2", "3"))


def _scope(draft: Draft, arguments: tuple[Argument, ...]) -> Scope:
    """Return the scope of a block: its own arguments, and the variables of the file that they do not hide."""
    hidden = {a.name for a in arguments}
    by_kind: dict[str, list[str]] = {"number": [], "flag": [], "text": [], "recipe": [], "numbers": []}
    for a in arguments:
        by_kind[a.kind].append(a.name)
    numbers = [v for v in draft.numbers if v not in hidden] + [f"len({n})" for n in by_kind["numbers"]]
    numbers += [f"{n}[0]" for n in by_kind["numbers"]]
    return Scope(
        draft,
        (*by_kind["number"], *numbers),
        (*by_kind["flag"], *(f for f in draft.flags if f not in hidden)),
        tuple(by_kind["text"]),
        (*by_kind["recipe"], *draft.recipes),
        hidden,
    )


def _signature(contract: Contract) -> str:
    """Write the signature of a block."""
    parts = [a.name if a.default is None else f"{a.name}={a.default}" for a in contract.arguments]
    return f"{contract.name}({', '.join(parts)})" if parts else contract.name


def sequence_body(draw: Draw, scope: Scope, flow: Flow, depth: int, wanted: Width | None, keep: bool) -> Node:
    """Draw a body without a program: a list, one node, or named layers in a row."""
    items, _ = sequence(draw, scope, flow, depth, keep, wanted)
    if len(items) == 1 and not _is_named(items[0]) and rarely(draw, 2):
        return items[0]
    if rarely(draw, 3):
        return {"layers": _as_layers(draw, items), **_variables(draw, scope)}
    return items


def handed_on(body: Node, draft: Draft) -> tuple[str, ...]:
    """Return the optional inputs that a block without a program has of its first layer, where that is a block."""
    first = body
    while isinstance(first, list | dict):
        if isinstance(first, list):
            first = first[0]
        elif "layers" in first:
            first = next(iter(first["layers"].values()))
        elif _is_named(first):
            (first,) = first.values()
        else:
            return ()
        if isinstance(first, list):
            return ()  # a list in a list takes one input
    called = str(first).partition("(")[0]
    return next((c.optional for c in draft.contracts if c.name == called), ())


def _is_named(made: Node) -> bool:
    return isinstance(made, dict) and not {"repeat", "parallel", "residual", "if", "layer"} & set(made)


def _as_layers(draw: Draw, items: list[Node]) -> dict[str, Node]:
    """Name the items of a list; what runs again in it stays a list."""
    names = [called(next(iter(i))) for i in items if _is_named(i)]
    if any(isinstance(i, str) and i in names for i in items):
        return {"body": items}
    taken = set(names)
    layers: dict[str, Node] = {}
    for made in items:
        if _is_named(made):
            layers.update(made)
        else:
            layers[fresh(draw, taken, ("first", "second", "a", "b"))] = made
    return layers


def _variables(draw: Draw, scope: Scope) -> dict[str, Any]:
    return {"vars": {"spare": number(draw, scope)}} if rarely(draw, 3) else {}
