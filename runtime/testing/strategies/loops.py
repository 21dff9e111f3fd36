"""Loops of programs: over repeated layers, over numbers, and while data say so."""

from __future__ import annotations

from typing import Any

from runtime.testing.strategies.draft import condition, number, seen_inside
from runtime.testing.strategies.expressions import conditions_on_data, kept
from runtime.testing.strategies.layers import Node, count
from runtime.testing.strategies.nodes import node
from runtime.testing.strategies.tensors import Draw, Flow, pick, rarely
from runtime.testing.strategies.writer import Writer


def _copies(draw: Draw, writer: Writer, flow: Flow, least: int = 0) -> str:
    """Add a repeat of a layer that keeps the form."""
    inner = writer.scope.within(())
    seen = seen_inside(flow, writer.scope.draft)
    of, _ = node(draw, inner, seen, writer.depth, keep=True)
    made: Node = {"repeat": count(draw, writer.scope, least), "of": of}
    if rarely(draw, 4):
        made["name"] = "layer{index}"
    return writer.add(draw, made)


def over_layers(draw: Draw, writer: Writer) -> None:
    """`for layer in h: x = layer(x)`, in one of its forms."""
    flow, x = writer.env[writer.main], writer.main
    h, each = _copies(draw, writer, flow), writer.local(draw)
    form = pick(draw, "plain", "call", "numbered", "zipped", "reversed", "by number", "nested")
    if form == "call":
        writer.line(f"{x} = {h}({x})")
        return
    heads = {
        "plain": f"for {each} in {h}:",
        "reversed": f"for {each} in reversed({h}):",
        "nested": f"for {each} in {h}:",
    }
    more = ""
    if form in ("numbered", "zipped"):
        i = writer.local(draw)
        other = f"enumerate({h})" if form == "numbered" else f"zip(range(len({h})), {h})"
        heads[form] = f"for {i}, {each} in {other}:"
        more = f" * ({i} + 1)"
    elif form == "by number":
        heads[form] = f"for {each} in range(len({h})):"
        each = f"{h}[{each}]"
    writer.line(heads[form])
    with writer.indented():
        if form == "nested":
            writer.line(f"if {condition(draw, writer.scope)}:")
            with writer.indented():
                writer.line(f"{x} = {x} * 0.5")
        writer.line(f"{x} = {each}({x}){more}")


def collected(draw: Draw, writer: Writer) -> None:
    """Draw a list of what the copies give, grown or as a comprehension, and made one value again."""
    flow, x = writer.env[writer.main], writer.main
    h, each, values = _copies(draw, writer, flow, 1), writer.local(draw), writer.local(draw)
    if rarely(draw, 2):
        writer.line(f"{values} = [{each}({x}) for {each} in {h}]")
    else:
        writer.line(f"{values} = []")
        writer.line(f"for {each} in {h}:")
        with writer.indented():
            writer.line(f"{x} = {each}({x})")
            writer.line(f"{values} = [*{values}, {x}]")
    join = pick(
        draw,
        "stack({0}).sum(dim=0)",
        "sum({0})",
        "{0}[-1]",
        "stack({0}, dim=1).mean(dim=1)",
        "{0}[0] * len({0})",
    )
    writer.line(f"{x} = {join.format(values)}")


def over_numbers(draw: Draw, writer: Writer) -> None:
    """`for i in range(n)`, with the same layers in each turn."""
    flow, x = writer.env[writer.main], writer.main
    i = writer.local(draw)
    span = pick(draw, "range({n})", "range(1, {n} + 1)", "[1, 2]", "range(0, {n}, 2)", "reversed(range({n}))")
    writer.line(f"for {i} in {span.format(n=number(draw, writer.scope))}:")
    with writer.indented():
        made = kept(draw, writer, x, flow)
        writer.line(pick(draw, f"{x} = {made}", f"{x} += {made} * {i}", f"{x} = {made} if {i} > 0 else {x}"))
        if rarely(draw, 3):
            _leave(draw, writer, f"{i} == 1")
            writer.line(f"{x} = {x} * 0.5")


def _leave(draw: Draw, writer: Writer, decided: str) -> None:
    """End the loop, or this turn of it, on a condition."""
    by_data = conditions_on_data(draw, writer.main)
    writer.line(f"if {pick(draw, decided, by_data, condition(draw, writer.scope))}:")
    with writer.indented():
        writer.line(pick(draw, "break", "continue"))


def while_data(draw: Draw, writer: Writer) -> None:
    """Draw a loop whose number of turns depends on data, at most three."""
    flow, x = writer.env[writer.main], writer.main
    turns = writer.local(draw)
    writer.line(f"{turns} = {pick(draw, 'full((), 0)', 'zeros((), dtype=int64)')}")
    writer.line(
        f"while {pick(draw, '{0} < 3 and {1} > 0.1', '({0} < 3) & ({1} > 0.1)').format(turns, f'{x}.abs().max()')}:"
    )
    with writer.indented():
        writer.line(f"{x} = {kept(draw, writer, x, flow)}")
        writer.line(pick(draw, f"{turns} = {turns} + 1", f"{turns} += 1"))


def while_number(draw: Draw, writer: Writer) -> None:
    """Draw a loop that is bounded at compile time."""
    flow, x = writer.env[writer.main], writer.main
    i = writer.local(draw)
    writer.line(f"{i} = 0")
    writer.line(f"while {i} < {number(draw, writer.scope)}:")
    with writer.indented():
        writer.line(f"{i} += 1")
        writer.line(f"{x} = {kept(draw, writer, x, flow)}")
        if rarely(draw, 3):
            _leave(draw, writer, f"{i} == 2")
            writer.line(f"{x} = {x} - 0.5")


LOOPS: tuple[Any, ...] = (over_layers, over_numbers, collected, while_data, while_number)
