"""Models: the root of a spec, over one input or several."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from runtime.testing.strategies.blocks import sequence_body
from runtime.testing.strategies.draft import Scope, atom
from runtime.testing.strategies.expressions import kept
from runtime.testing.strategies.nodes import sequence
from runtime.testing.strategies.programs import statements
from runtime.testing.strategies.tensors import IMAGE, ROWS, STEPS, Draw, Flow, Width, pick, rarely
from runtime.testing.strategies.writer import Writer

VOCABULARY = 5
INPUTS = ("x", "value", "features", "extra", "image", "other")


def tensor_input(draw: Draw, layout: str, scope: Scope) -> tuple[Flow, str]:
    """Draw an input of floating-point numbers: its form, and its type as it is written."""
    text = atom(draw, scope)
    width = Width(text, text in ("2", "4"))
    size = {ROWS: 0, STEPS: 3, IMAGE: 4}[layout]
    inner = {ROWS: [], STEPS: [pick(draw, "3", "time")], IMAGE: ["4", "4"]}[layout]
    parts = ["batch", text, *inner] if layout == IMAGE else ["batch", *inner, text]
    return Flow(layout, width, size), f"float[{', '.join(parts)}]"


def row_model(draw: Draw, scope: Scope, inputs: dict[str, str], depth: int) -> Any:
    """Draw a model without a program: a list, one node, or layers in a row."""
    if rarely(draw, 5):
        inputs["tokens"] = f"int64[batch{pick(draw, '', ', 3')}]"
        embedding = f"Embedding({VOCABULARY}, 4{padding(draw)})"
        layout = STEPS if "3" in inputs["tokens"] else ROWS
        flow = Flow(layout, Width("4", even=True), 3 if layout == STEPS else 0)
        return [embedding, *sequence(draw, scope, flow, depth)[0]]
    flow, inputs[pick(draw, *INPUTS)] = tensor_input(draw, pick(draw, ROWS, STEPS, IMAGE), scope)
    body = sequence_body(draw, scope, flow, depth, None, False)
    first = body[0] if isinstance(body, list) else None
    return first if isinstance(first, str) and first[:1].isupper() and rarely(draw, 3) else body


def padding(draw: Draw) -> str:
    """Draw the argument of an embedding that names a row of padding, or none."""
    return str(pick(draw, "", "", ", padding_idx=1", ", padding_idx=-1"))


def program_model(draw: Draw, scope: Scope, inputs: dict[str, str], depth: int) -> Any:
    """Draw a model with a program over one input or several."""
    layout = pick(draw, ROWS, STEPS, IMAGE)
    flow, declared = tensor_input(draw, layout, scope)
    name = pick(draw, *INPUTS)
    inputs[name] = declared
    writer = Writer(scope, depth, False, name, (name, flow))
    writer.taken |= {name, *scope.numbers, *scope.flags}
    writer.env[name] = flow
    for _ in range(draw(st.integers(0, 2))):
        more_input(draw, writer, inputs, flow, scope)
    statements(draw, writer)
    writer.line(f"return {output(draw, writer)}")
    return writer.body("forward" if rarely(draw, 2) else f"forward({', '.join(inputs)})")


def more_input(draw: Draw, writer: Writer, inputs: dict[str, str], flow: Flow, scope: Scope) -> None:
    """Add an input: whole numbers that are embedded, a mask, or more of the first."""
    kinds = [_mask, _other, _waves] if flow.layout == IMAGE else [_tokens, _mask, _other, _waves]
    pick(draw, *kinds)(draw, writer, inputs, flow, scope)


def _declare(
    draw: Draw, writer: Writer, inputs: dict[str, str], names: tuple[str, ...], declared: str
) -> str:
    name = next((n for n in names if n not in writer.taken), f"more{len(inputs)}")
    writer.taken.add(name)
    inputs[name] = declared
    return name


def _tokens(draw: Draw, writer: Writer, inputs: dict[str, str], flow: Flow, scope: Scope) -> None:
    sizes = "" if flow.layout == ROWS else f", {inputs[writer.source[0]].split(', ')[1]}"
    tokens = _declare(
        draw, writer, inputs, ("tokens", "ids"), f"{pick(draw, 'int64', 'int32')}[batch{sizes}]"
    )
    width = Width(atom(draw, scope))
    table = writer.add(draw, f"Embedding({VOCABULARY}, {width.text}{padding(draw)})")
    embedded = writer.local(draw)
    writer.line(f"{embedded} = {table}({tokens})")
    writer.env[embedded] = flow.wide(width)


def _mask(draw: Draw, writer: Writer, inputs: dict[str, str], flow: Flow, scope: Scope) -> None:
    declared = inputs[writer.source[0]].replace("float", "bool")
    mask = _declare(draw, writer, inputs, ("mask", "keep"), declared)
    form = pick(
        draw, "{0}.masked_fill({1}, 0.0)", "where({1}, {0}, -{0})", "{0} * {1}.to({0}.dtype)", "{0} * {1}"
    )
    writer.line(f"{writer.main} = {form.format(writer.main, mask)}")


def _waves(draw: Draw, writer: Writer, inputs: dict[str, str], flow: Flow, scope: Scope) -> None:
    """Take complex numbers; the program uses a real part, size or angle of them."""
    declared = inputs[writer.source[0]].replace("float", pick(draw, "complex64", "complex128"))
    waves = _declare(draw, writer, inputs, ("waves", "signal"), declared)
    form = pick(draw, "real({0})", "{0}.abs()", "view_as_real({0})[..., 0]", "({0} * {0}.conj()).angle()")
    writer.line(f"{writer.main} = {writer.main} + {form.format(waves)}.to({writer.main}.dtype)")


def _other(draw: Draw, writer: Writer, inputs: dict[str, str], flow: Flow, scope: Scope) -> None:
    declared = inputs[writer.source[0]]
    name = _declare(draw, writer, inputs, ("other", "extra", "second"), declared)
    writer.env[name] = flow
    local, wanted = writer.local(draw), Width(atom(draw, scope))
    made = kept(draw, writer, name, flow)
    writer.line(f"{local} = {writer.project(draw, flow, wanted)}({made})")
    writer.env[local] = flow.wide(wanted)


def output(draw: Draw, writer: Writer) -> str:
    """Draw what the model returns: a value, several, a list or a dict of them."""
    main = writer.main
    others = [name for name in writer.env if name != main] or [main]
    other = pick(draw, *others)
    forms = (
        "{0}",
        "{0}",
        "({0}, {1})",
        "{{'output': {0}, 'other': {1}}}",
        "[{0}, {1}.sum()]",
        "({0}, [{1}, ({0},)])",
    )
    auxiliary = "({0}, {1}) if training else {0}"
    return str(pick(draw, *forms, auxiliary)).format(main, other)
