"""Layers inside of layers, which a program calls one by one, and blocks inside of themselves."""

from __future__ import annotations

from typing import Any

from runtime.testing.strategies.draft import Draft, Scope, fresh
from runtime.testing.strategies.layers import Node, keeping
from runtime.testing.strategies.tensors import Draw, Flow, pick, rarely
from runtime.testing.strategies.writer import Writer

NAMES = ("left", "inner", "encoder", "weight")


def inside(draw: Draw, writer: Writer) -> None:
    """Call the layers inside of a new one: `x = pair.left(x)`, `x = rows[0](x)`, or in a loop over copies of it."""
    flow, x = writer.env[writer.main], writer.main
    first, second = draw_names(draw)
    forms = (_listed, _parallel, _block) if writer.depth else (_listed, _parallel)
    made, paths = pick(draw, *forms)(draw, writer.scope, flow, first, second)
    owner = writer.add(draw, made)
    if rarely(draw, 3):
        writer.layers[owner] = {"repeat": pick(draw, 1, 2), "of": made}
        each = writer.local(draw)
        writer.line(f"for {each} in {owner}:")
        with writer.indented():
            _calls(draw, writer, x, each, paths)
        return
    _calls(draw, writer, x, owner, paths)
    if rarely(draw, 2):
        writer.line(f"{x} = {owner}({x})")


def recursive(draw: Draw, writer: Writer) -> None:
    """Call a block that contains itself as often as its argument says; none where no blocks are wanted."""
    if not writer.depth:
        return
    flow, x, draft = writer.env[writer.main], writer.main, writer.scope.draft
    inside, seen = Scope(draft, ("n",)), flow.wide(draft.unknown())
    first, last = keeping(draw, inside, seen), keeping(draw, inside, seen)
    name = _unused(draft, "Nest")
    again: Node = {"if": "n > 0", "then": f"{name}(n - 1)", "else": last}
    if rarely(draw, 2):
        again = {"repeat": "min(n, 1)", "of": f"{name}(n - 1)"}
    row = {"layers": {"first": first, "inner": again}, "forward": "return inner(first(x))\n"}
    draft.blocks[f"{name}(n)"] = pick(draw, row, [first, again])
    writer.line(f"{x} = {writer.add(draw, f'{name}({pick(draw, 1, 2, 3, 0)})')}({x})")


def _unused(draft: Draft, stem: str) -> str:
    name = next(f"{stem}{at}" for at in range(1, 99) if f"{stem}{at}" not in draft.taken)
    draft.taken.add(name)
    return name


def draw_names(draw: Draw) -> tuple[str, str]:
    taken: set[str] = set()
    return fresh(draw, taken, NAMES), fresh(draw, taken, NAMES)


def _calls(draw: Draw, writer: Writer, x: str, owner: str, paths: tuple[str, str]) -> None:
    """Call both layers, and read the weight of the first where it is a normalisation that has one."""
    first, second = paths
    writer.line(f"{x} = {owner}{first}({x}) + {owner}{second}({x})")
    writer.line(f"{x} = {pick(draw, f'{owner}{first}({x})', x, f'{owner}{second}({x}) * 0.5')}")
    if rarely(draw, 2):
        writer.line(f"{x} = {x} * {owner}{first}.weight.sum()")


def _pair(draw: Draw, scope: Scope, flow: Flow) -> tuple[Node, Node]:
    """Draw two layers that keep the form, of which the first has a weight."""
    return "LayerNorm" if flow.layout != "image" else "GroupNorm(1)", keeping(draw, scope, flow)


def _listed(draw: Draw, scope: Scope, flow: Flow, first: str, second: str) -> tuple[Node, tuple[str, str]]:
    one, two = _pair(draw, scope, flow)
    return ([{first: one}, two], (f".{first}", "[1]")) if rarely(draw, 2) else ([one, two], ("[0]", "[-1]"))


def _parallel(draw: Draw, scope: Scope, flow: Flow, first: str, second: str) -> tuple[Node, tuple[str, str]]:
    one, two = _pair(draw, scope, flow)
    return {"parallel": {first: one, second: two}, "combine": "add"}, (f".{first}", f".{second}")


def _block(draw: Draw, scope: Scope, flow: Flow, first: str, second: str) -> tuple[Node, tuple[str, str]]:
    draft: Draft = scope.draft
    one, two = _pair(draw, Scope(draft), flow.wide(draft.unknown()))
    name = _unused(draft, "Pair")
    body: dict[str, Any] = {"layers": {first: one, second: two}, "forward": f"return {second}({first}(x))\n"}
    draft.blocks[name] = body
    return name, (f".{first}", f".{second}")
