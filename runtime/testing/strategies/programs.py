"""Forward programs: statements over layers, parameters and buffers, drawn one by one with the forms of all names."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from runtime.testing.strategies.draft import Scope, atom, condition
from runtime.testing.strategies.expressions import conditions_on_data, expression, kept
from runtime.testing.strategies.extends import extend
from runtime.testing.strategies.loops import LOOPS
from runtime.testing.strategies.nested import inside, recursive
from runtime.testing.strategies.tensors import IMAGE, STEPS, Draw, Flow, Width, pick, rarely
from runtime.testing.strategies.writer import Writer

OPTIONAL = ("context", "mask", "memory")
MOST = 4
"""Statements of a program."""


def forward_body(
    draw: Draw, scope: Scope, flow: Flow, depth: int, wanted: Width | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Draw a block with a program over one input and perhaps optional ones: the body, and the optional inputs.

    The result has the width `wanted`, or the form of the input.
    """
    name = pick(draw, "x", "value", "x")
    optional = (pick(draw, *OPTIONAL),) if rarely(draw) else ()
    writer = Writer(scope, depth, wanted is None, name, (name, flow))
    writer.taken |= {
        name,
        *optional,
        *scope.taken,
        *scope.numbers,
        *scope.flags,
        *scope.texts,
        *scope.recipes,
    }
    writer.env[name] = flow
    for other in optional:
        writer.line(f"if {other} is not None:")
        with writer.indented():
            writer.line(f"{name} = {name} + {kept(draw, writer, other, flow)}")
    if rarely(draw, 6):
        extend(draw, writer)
    statements(draw, writer)
    writer.line(f"return {writer.result(draw, wanted)}")
    header = f"forward({', '.join([name, *(f'{o}=None' for o in optional)])})"
    plain = header == "forward(x)" and not rarely(draw, 3)
    return writer.body("forward" if plain else header), optional


def statements(draw: Draw, writer: Writer) -> None:
    """Draw a few statements; each is drawn with whether it is there, so that it can be left out."""
    for at in range(MOST):
        if at and not draw(st.integers(0, 3)):
            continue
        offers = STATEMENTS if not writer.keep else KEEPING_STATEMENTS
        flow = writer.env[writer.main]
        if flow.layout == STEPS:
            offers = (*offers, attention, recurrent)
        pick(draw, *offers)(draw, writer)


def assign(draw: Draw, writer: Writer) -> None:
    """`y = layer(x)`."""
    text, flow = expression(draw, writer, writer.main, writer.env[writer.main])
    writer.bind(draw, text, flow)


def keep(draw: Draw, writer: Writer) -> None:
    flow = writer.env[writer.main]
    writer.line(f"{writer.main} = {kept(draw, writer, writer.main, flow)}")


def augment(draw: Draw, writer: Writer) -> None:
    flow = writer.env[writer.main]
    sign = pick(draw, "+=", "*=", "-=")
    writer.line(f"{writer.main} {sign} {kept(draw, writer, writer.main, flow)}")


def pair(draw: Draw, writer: Writer) -> None:
    """Draw `a, b = f(x), g(x)`, perhaps swapped, and joined again."""
    flow = writer.env[writer.main]
    a, b = writer.local(draw), writer.local(draw)
    one, two = (kept(draw, writer, writer.main, flow) for _ in range(2))
    writer.line(f"{pick(draw, f'{a}, {b}', f'({a}, {b})')} = {one}, {two}")
    if rarely(draw, 3):
        writer.line(f"{a}, {b} = {b}, {a}")
    writer.line(f"{writer.main} = {a} {pick(draw, '+', '*', '-')} {b}")


def halves(draw: Draw, writer: Writer) -> None:
    """Draw `a, b = y.chunk(2, dim=-1)` of an even width, joined again."""
    flow = writer.env[writer.main]
    layer = writer.project(draw, flow, Width(f"2 * {atom(draw, writer.scope)}", even=True))
    split = pick(draw, "{0}.chunk(2, dim={1})", "chunk({0}, 2, dim={1})", "tensor_split({0}, 2, dim={1})")
    a, b = writer.local(draw), writer.local(draw)
    writer.line(f"{a}, {b} = {split.format(f'{layer}({writer.main})', flow.axis)}")
    writer.line(f"{writer.main} = cat([{b}, sigmoid({a})], dim={flow.axis})")
    writer.env[writer.main] = flow.wide(Width(writer.widths[layer], even=True))


def chosen_rows(draw: Draw, writer: Writer) -> None:
    """Compute with the rows that a mask chooses, whose number data decide."""
    flow = writer.env[writer.main]
    mask, rows, called = writer.local(draw), writer.local(draw), dict(writer.called)
    writer.line(f"{mask} = {writer.main}.reshape({writer.main}.shape[0], -1).sum(dim=1) > 0")
    writer.line(pick(draw, f"{rows}, = where({mask})", f"{rows} = nonzero({mask})[:, 0]"))
    some = f"{writer.main}[{pick(draw, rows, mask)}]"
    if flow.layout != IMAGE and flow.width.known and rarely(draw, 2):
        some = f"{writer.project(draw, flow, flow.width)}({some})"
    forms = (
        "index_add({x}, 0, {rows}, {some})",
        "{x} + {some}.sum(dim=0, keepdim=True)",
        "{x} if {rows}.shape[0] > 1 else {x} * 2",
    )
    form = str(pick(draw, *forms))
    if "{some}" not in form:
        writer.called = called
    writer.line(f"{writer.main} = {form.format(x=writer.main, rows=rows, some=some)}")


def data_branch(draw: Draw, writer: Writer) -> None:
    """Draw an `if` that depends on data."""
    flow = writer.env[writer.main]
    writer.line(f"if {conditions_on_data(draw, writer.main)}:")
    with writer.indented():
        writer.line(f"{writer.main} = {kept(draw, writer, writer.main, flow)}")
    if rarely(draw, 2):
        writer.line("else:")
        with writer.indented():
            writer.line(pick(draw, "pass", f"{writer.main} = {kept(draw, writer, writer.main, flow)}"))


def update(draw: Draw, writer: Writer) -> None:
    """Draw a buffer that follows the values in training, and is used in evaluation."""
    name = writer.main
    entry = {"tensor": "float[1]", "init": pick(draw, "zeros", "normal", "0.5"), "updated": True}
    title = writer.tensor(draw, writer.buffers, entry, "running", "average")
    seen = f"{name}.mean().reshape(1).to({title}.dtype)"
    new = pick(draw, "{0} = lerp({0}, {1}, 0.25)", "{0} += {1}", "_, {0} = {0}, {1}", "{0} = {1}")
    counted = new.format(title, seen)
    if rarely(draw, 3):
        steps = writer.tensor(draw, writer.buffers, {"value": "0", "updated": True}, "steps", "seen")
        counted += f"\n{steps} = {steps} + 1"
    writer.line("if training:")
    with writer.indented():
        for line in counted.splitlines():
            writer.line(line)
    writer.line("else:")
    with writer.indented():
        writer.line(f"{name} = {name} {pick(draw, '+', '-')} {title}.to({name}.dtype)")


def early_return(draw: Draw, writer: Writer) -> None:
    """Draw a `return` in a branch that depends on data, of the form that the program's own result has."""
    if not writer.keep or writer.depth_of_blocks:
        return keep(draw, writer)
    flow = writer.env[writer.main]
    writer.line(f"if {conditions_on_data(draw, writer.main)}:")
    with writer.indented():
        writer.line(f"return {kept(draw, writer, writer.main, flow)}")


def static_branch(draw: Draw, writer: Writer) -> None:
    """Draw an `if` that is decided at compile time, or by the mode."""
    flow = writer.env[writer.main]
    test = pick(draw, condition(draw, writer.scope), "training", "not training")
    writer.line(f"if {test}:")
    with writer.indented():
        writer.line(f"{writer.main} = {kept(draw, writer, writer.main, flow)}")
    if rarely(draw, 2):
        writer.line(pick(draw, "else:", f"elif {condition(draw, writer.scope)}:"))
        with writer.indented():
            writer.line(f"{writer.main} = {kept(draw, writer, writer.main, flow)}")


def size_branch(draw: Draw, writer: Writer) -> None:
    """Draw an `if` or a choice that the size of an open dimension decides: other batches go another way."""
    test = f"{writer.main}.shape[0] {pick(draw, '>', '<', '==', '>=')} {draw(st.integers(1, 6))}"
    one, two = _two_ways(draw, writer)
    if rarely(draw, 3):
        writer.line(f"{writer.main} = {one} if {test} else {two}")
        return
    writer.line(f"if {test}:")
    with writer.indented():
        writer.line(f"{writer.main} = {one}")
    writer.line("else:")
    with writer.indented():
        writer.line(f"{writer.main} = {two}")


def _two_ways(draw: Draw, writer: Writer) -> tuple[str, str]:
    """Draw two values that keep the form; what is first called for one of them is not called for what follows."""
    flow, before = writer.env[writer.main], dict(writer.called)
    one = kept(draw, writer, writer.main, flow)
    writer.called = dict(before)
    two = kept(draw, writer, writer.main, flow)
    writer.called = before
    return one, two


def ternary(draw: Draw, writer: Writer) -> None:
    one, two = _two_ways(draw, writer)
    writer.line(f"{writer.main} = {one} if {condition(draw, writer.scope)} else {two}")


def join(draw: Draw, writer: Writer) -> None:
    """Put another value of the same layout beside the main one."""
    flow = writer.env[writer.main]
    others = [
        n
        for n, f in writer.env.items()
        if n != writer.main and (f.layout, f.size) == (flow.layout, flow.size)
    ]
    if not others:
        return assign(draw, writer)
    other = pick(draw, *others)
    if writer.env[other] == flow and rarely(draw, 2):
        writer.line(f"{writer.main} = {pick(draw, 'maximum', 'add', 'sub')}({writer.main}, {other})")
        return None
    writer.line(f"{writer.main} = cat([{writer.main}, {other}], dim={flow.axis})")
    writer.env[writer.main] = flow.wide(writer.scope.draft.unknown())
    return None


def attention(draw: Draw, writer: Writer) -> None:
    flow = writer.env[writer.main]
    heads = 2 if flow.width.even else 1
    name = writer.add(draw, f"MultiheadAttention(num_heads={heads}, batch_first=True)")
    more = pick(draw, "", ", need_weights=False")
    writer.line(f"{writer.main}, _ = {name}({', '.join([writer.main] * 3)}{more})")


def recurrent(draw: Draw, writer: Writer) -> None:
    flow = writer.env[writer.main]
    kind = pick(draw, "GRU", "LSTM", "RNN")
    more = pick(draw, "", ", num_layers=2", ", bias=False")
    wanted = flow.width if writer.keep and flow.width.known else Width(atom(draw, writer.scope))
    if writer.keep and not flow.width.known:
        return keep(draw, writer)
    name = writer.add(draw, f"{kind}({wanted.text}{more}, batch_first=True)")
    writer.line(f"{writer.main}, _ = {name}({writer.main})")
    writer.env[writer.main] = flow.wide(Width(wanted.text, wanted.text in ("2", "4")))
    return None


KEEPING_STATEMENTS: tuple[Any, ...] = (
    keep,
    augment,
    pair,
    chosen_rows,
    data_branch,
    static_branch,
    size_branch,
    ternary,
    early_return,
    inside,
    update,
    recursive,
    *LOOPS,
)
STATEMENTS = (assign, *KEEPING_STATEMENTS, halves, join)
