"""Expressions of programs over the value that flows."""

from __future__ import annotations

from typing import Any

from runtime.testing.strategies.draft import atom, condition
from runtime.testing.strategies.tensors import IMAGE, STEPS, Draw, Flow, pick, rarely
from runtime.testing.strategies.writer import Writer

KEEPING = (
    *(
        "relu({x})",
        "{x} + zeros({x}.shape)",
        "linspace(0, 1, {x}.shape[0]).sum() * {x}",
        "{x} * full((), 0.5)",
    ),
    *("arange(3).sum() / 2 + {x}", "where({x} > 0, {x}, zeros(()))"),
    *(
        "relu({x})",
        "{x}.tanh()",
        "{x} + 1",
        "2 * {x}",
        "-{x}",
        "{x} / 2",
        "softmax({x}, dim=-1)",
        "({x}.abs() + 1).sqrt()",
    ),
    *(
        "{x} - {x}.mean(dim={d}, keepdim=True)",
        "where({x} > 0, {x}, -{x})",
        "{x}.clamp(min=-1.5, max=1.5)",
        "tanh({x})",
    ),
    *(
        "{x}.masked_fill({x} < 0, 0.5)",
        "{x} * ({x}.abs() > 0.5).to(dtype={x}.dtype)",
        "{x}.flip([{d}])",
        "abs({x})",
    ),
    *(
        "{x} + arange({x}.shape[{d}], dtype={x}.dtype).reshape({shape})",
        "{x} ** 2",
        "layer_norm({x}, {x}.shape[{d}:])",
    ),
    *(
        "cat([{x}[:1], {x}[1:]])",
        "stack([{x}, -{x}]).sum(dim=0)",
        "{x}.cumsum(dim={d})",
        "ones_like({x}) * {x}",
    ),
    *(
        "zeros({x}.shape, dtype={x}.dtype) + {x}",
        "full({x}.shape, 0.5, dtype={x}.dtype) * {x}",
        "min({x}, {x} + 1)",
    ),
    *(
        "{x}.reshape({x}.shape)",
        "dropout({x}, 0.5, training=training)",
        "dropout({x}, 0.5)",
        "einsum('b...,b...->b...', {x}, {x})",
    ),
    *(
        "fft.fft({x}, dim={d}).abs()",
        "fft.ifft(fft.fft({x}, dim={d}), dim={d}).abs()",
        "lerp({x}, -{x}, 0.25)",
    ),
    *(
        "sum([{x}, {x} * 2])",
        "rearrange({x}, 'b ... d -> b ... d')",
        "max({x}, 0 * {x})",
        "{x}.expand({x}.shape)",
    ),
    *(
        "{x}.mT.mT if {x}.ndim > 1 else {x}",
        "{x}.reshape(*{x}.shape[:-1], -1)",
        "{x}.sort(dim={d}).values",
        "max({x}, dim={d}, keepdim=True).values - {x}",
        "fft.fft({x}, dim={d}).real",
        "zeros(*{x}.shape, dtype={x}.dtype) + {x}",
        "linalg.norm({x}, dim={d}, keepdim=True) + {x}",
        "{x} - ({x}.detach() // 1)",
    ),
)
"""Expressions with the shape and dtype of `x`; `d` is the dimension of its width."""

STEPS_ONLY = (
    "scaled_dot_product_attention({x}, {x}, {x}, is_causal=True)",
    "scaled_dot_product_attention({x}, {x}, {x}, dropout_p=0.5)",
    "softmax({x} @ {x}.mT, dim=-1) @ {x}",
    "{x} + {x}.mean(dim=1, keepdim=True)",
    "rearrange({x}, 'b t d -> t b d').transpose(0, 1)",
    "cat([zeros_like({x}[:, :1]), {x}[:, :-1]], dim=1)",
    "bmm(tril(ones({x}.shape[0], {x}.shape[1], {x}.shape[1], dtype={x}.dtype)), {x})",
)


def kept(draw: Draw, writer: Writer, name: str, flow: Flow) -> str:
    """Draw an expression over a name that has the form which the name has."""
    return str(
        pick(draw, _layer, _formula, _tensor, _layer, _number, _weight, _layer)(draw, writer, name, flow)
    )


def expression(draw: Draw, writer: Writer, name: str, flow: Flow) -> tuple[str, Flow]:
    """Draw an expression over a name, of whatever form."""
    if writer.keep or not rarely(draw, 2):
        return kept(draw, writer, name, flow), flow
    layer, after = writer.layer(draw, flow, keep=False)
    return f"{layer}({name})", after


def _layer(draw: Draw, writer: Writer, name: str, flow: Flow) -> str:
    layer, _ = writer.layer(draw, flow, keep=True)
    inner = _formula(draw, writer, name, flow) if rarely(draw, 4) else name
    optional = _optional(writer, layer)
    if optional and rarely(draw, 2):
        return f"{layer}({inner}, {pick(draw, '', f'{optional[0]}=')}{name})"
    return f"{layer}({inner})"


def _optional(writer: Writer, layer: str) -> tuple[str, ...]:
    """Return the optional inputs of a layer that is the call of a block."""
    made: Any = writer.layers[layer]
    called = made.partition("(")[0] if isinstance(made, str) else None
    return next((c.optional for c in writer.scope.draft.contracts if c.name == called), ())


def _formula(draw: Draw, writer: Writer, name: str, flow: Flow) -> str:
    shape = "[1, -1, 1, 1]" if flow.layout == IMAGE else "[-1]"
    more = STEPS_ONLY if flow.layout == STEPS else ()
    form = pick(draw, *KEEPING, *more)
    return str(form).format(x=name, d=flow.axis, shape=shape)


def _number(draw: Draw, writer: Writer, name: str, flow: Flow) -> str:
    one = atom(draw, writer.scope)
    forms = ("{x} * {n}", "{x} / {n}", "{x} + {n} * 0.5", "{n} - {x}", "roll({x}, {n}, dims=0)")
    made = str(pick(draw, *forms)).format(x=name, n=one)
    return f"({made} if {condition(draw, writer.scope)} else {name})" if rarely(draw, 4) else f"({made})"


def _weight(draw: Draw, writer: Writer, name: str, flow: Flow) -> str:
    """Use the weight of a linear layer that has been called: `x @ fc.weight.T`."""
    square = [
        n
        for n, made in writer.layers.items()
        if writer.called.get(n) == (flow, flow) and isinstance(made, str) and made.startswith("Linear(")
    ]
    if not square or flow.layout == IMAGE:
        return _formula(draw, writer, name, flow)
    layer = pick(draw, *square)
    return str(pick(draw, "{0} @ {1}.weight.T", "linear({0}, {1}.weight)", "{0} + {1}.weight.sum()")).format(
        name, layer
    )


def _tensor(draw: Draw, writer: Writer, name: str, flow: Flow) -> str:
    """Use a parameter or a buffer of the block."""
    shape = _shape(draw, writer, flow)
    tail = "" if shape in ("", "1") or flow.layout != IMAGE else "[:, None, None]"
    kind = pick(draw, "parameter", "buffer", "value", "mask", "double")
    if kind == "parameter":
        entry = {
            "tensor": f"float[{shape}]",
            "init": pick(draw, "ones", "normal(std=0.5)", "0.5", "uniform(-1, 1)"),
        }
        title = writer.tensor(draw, writer.parameters, entry, "scale", "shift", "bias")
        return f"{name} {pick(draw, '*', '+')} {title}{tail}"
    if kind == "buffer":
        entry = {"tensor": f"float[{shape}]", "init": pick(draw, "zeros", "normal", "uniform(0, 1)")}
        if entry["init"] == "zeros" and rarely(draw, 2):
            entry["persistent"] = pick(draw, True, False)
        title = writer.tensor(draw, writer.buffers, entry, "state", "offset")
        return f"{name} + {title}{tail}"
    if kind == "value":
        return _value(draw, writer, name)
    if kind == "double":
        entry = {"tensor": pick(draw, "float64[1]", "float32[1]"), "init": pick(draw, "ones", "normal")}
        table = pick(draw, writer.parameters, writer.buffers)
        return f"{name} * {writer.tensor(draw, table, entry, 'exact', 'fine')}.to({name}.dtype)"
    entry = {"tensor": pick(draw, "int64[1]", "bool[1]", "int32[1]"), "init": pick(draw, "ones", "0")}
    title = writer.tensor(draw, writer.buffers, entry, "mask", "flags")
    return f"{name} * {title}.to(dtype={name}.dtype)"


def _value(draw: Draw, writer: Writer, name: str) -> str:
    """Use a buffer whose value is computed."""
    one = atom(draw, writer.scope)
    values = ("arange({n}) * 1.0", "1 / 2 ** arange(1, {n} + 1)", "[0.5, 0.25]", "0.5", "linspace(0, 1, {n})")
    programs = "steps = arange({n})\nif {n} > 2:\n  steps = steps * 2\nreturn steps * 0.5\n"
    entry: dict[str, Any] = {"value": pick(draw, *values, programs).format(n=one)}
    if rarely(draw, 2):
        entry["persistent"] = pick(draw, True, False)
    title = writer.tensor(draw, writer.buffers, entry, "table", "inv_freq")
    return f"{name} * {title}.sum()"


def _shape(draw: Draw, writer: Writer, flow: Flow) -> str:
    """Draw the shape of a tensor that broadcasts to the width of a flow."""
    options = ["1", ""]
    if flow.width.known:
        options.append(flow.width.text)
    name, form = writer.source
    if form == flow:
        options.append(f"{name}.shape[{flow.axis}]")
    return str(pick(draw, *options))


def conditions_on_data(draw: Draw, name: str) -> str:
    """Draw a condition that depends on data."""
    forms = (
        *("{x}.sum() > 0", "({x} > 0).any()", "{x}.mean() < 0.5 and {x}.max() > 0", "not ({x} > 0).all()"),
        *("{x}.abs().max() > 1 or {x}.sum() < 0", "0 < {x}.mean() < 2", "({x}.sum() > 0) & ({x}.max() < 3)"),
    )
    return str(pick(draw, *forms)).format(x=name)
