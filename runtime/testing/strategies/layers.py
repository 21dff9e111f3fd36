"""Single layers and operations that fit the value that flows."""

from __future__ import annotations

from typing import Any

from runtime.testing.strategies.draft import Scope, number, width
from runtime.testing.strategies.tensors import FEATURES, IMAGE, ROWS, STEPS, Draw, Flow, Width, pick, rarely

Node = Any
"""What stands in a layer position, as a plain value."""

KEEPING: dict[str, tuple[Node, ...]] = {
    FEATURES: (
        *(
            "ReLU",
            "LayerNorm",
            "relu",
            "Tanh",
            "GELU(approximate='tanh')",
            "Dropout(0.5)",
            "RMSNorm",
            "Identity",
        ),
        *(
            "LayerNorm(eps=1e-3, bias=False)",
            "softmax(dim=-1)",
            "Softmax(dim=-1)",
            "LeakyReLU(0.1)",
            "sigmoid()",
        ),
        *(
            "PReLU",
            "clamp(min=-1, max=1)",
            "flip(dims=[-1])",
            "roll(1, dims=-1)",
            "cumsum(dim=-1)",
            "Hardtanh(-2, 2)",
        ),
        *(
            "rearrange('b ... d -> b ... d')",
            "special.expit",
            "nan_to_num",
            "silu",
            "dropout(0.5)",
            "LayerNorm(elementwise_affine=False)",
        ),
    ),
    IMAGE: (
        *(
            "ReLU",
            "BatchNorm2d",
            "relu",
            "Tanh",
            "GroupNorm(1)",
            "Dropout2d(0.2)",
            "InstanceNorm2d",
            "Softmax2d",
        ),
        *(
            "MaxPool2d(3, stride=1, padding=1)",
            "AvgPool2d(3, stride=1, padding=1)",
            "BatchNorm2d(affine=False)",
        ),
        *(
            "LocalResponseNorm(2)",
            "flip(dims=[2])",
            "avg_pool2d(3, stride=1, padding=1)",
            "transpose(2, 3)",
            "PReLU",
        ),
        *("InstanceNorm2d(affine=True, track_running_stats=True)", "BatchNorm2d(track_running_stats=False)"),
    ),
    STEPS: (
        *("roll(1, dims=1)", "cumsum(dim=1)", "softmax(dim=1)", "tril", "flip([1])"),
        *("TransformerEncoderLayer(nhead=1, dim_feedforward=3, batch_first=True)",),
        *(
            "TransformerEncoderLayer(nhead=1, dim_feedforward=2, dropout=0, activation='gelu', batch_first=True)",
        ),
    ),
}
"""By layout, what leaves the shape as it is."""

LONG: dict[str, tuple[Node, ...]] = {
    FEATURES: ({"layer": "Dropout", "p": 0.25}, {"layer": "LayerNorm", "eps": 0.001, "bias": False}),
    IMAGE: ({"layer": "BatchNorm2d", "momentum": None}, {"layer": "AvgPool2d", "kernel_size": [1, 1]}),
}


def keeping(draw: Draw, scope: Scope, flow: Flow) -> Node:
    """Draw a layer or an operation that leaves the shape as it is."""
    if scope.recipes and rarely(draw, 3):
        return pick(draw, *scope.recipes)
    if scope.texts and flow.family == FEATURES and rarely(draw, 4):
        return f"GELU(approximate={pick(draw, *scope.texts)})"
    if rarely(draw, 6):
        return dict(pick(draw, *LONG[flow.family]))
    more = KEEPING[STEPS] if flow.layout == STEPS else ()
    return pick(draw, *KEEPING[flow.family], *more)


def projection(draw: Draw, scope: Scope, flow: Flow, wanted: Width) -> Node:
    """Draw a layer that gives the wanted width."""
    size, long = wanted.text, f"${{{wanted.text}}}"
    if flow.layout == IMAGE:
        forms: list[Node] = [f"Conv2d({size}, 1)", f"Conv2d({size}, 3, padding=1)"]
        forms += [f"Conv2d({size}, kernel_size=(1, 3), padding='same', bias=False)"]
        forms += [
            f"ConvTranspose2d({size}, 3, padding=1)",
            f"Conv2d(kernel_size=[1, 1], out_channels={size})",
        ]
        forms += [{"layer": "Conv2d", "out_channels": long, "kernel_size": 1}]
        inferred = "in_channels"
    else:
        forms = [f"Linear({size})", f"Linear({size}, bias=False)", f"Linear(out_features={size})"]
        forms += [{"layer": "Linear", "out_features": long}]
        inferred = "in_features"
    if flow.width.known:
        form = forms[0].removesuffix(")")
        forms.append(f"{form}, {inferred}={flow.width.text})")
    return pick(draw, *forms)


def changing(draw: Draw, scope: Scope, flow: Flow) -> tuple[Node, Flow]:
    """Draw a layer, or a few, that may give another shape."""
    wanted = width(draw, scope)
    offers = [lambda: (projection(draw, scope, flow, wanted), flow.wide(wanted))]
    if flow.layout != IMAGE:
        offers.append(lambda: spectrum(draw, scope, flow))
    if flow.layout == IMAGE and flow.size:
        offers += [lambda: shrunk(draw, scope, flow), lambda: unrolled(draw, scope, flow)]
    if flow.layout == STEPS:
        offers.append(lambda: (pick(draw, *PICKS), Flow(ROWS, flow.width)))
    if flow.layout == ROWS and flow.width.known:
        offers.append(lambda: (f"unflatten(1, [-1, {flow.width.text}])", Flow(STEPS, flow.width, 1)))
    return pick(draw, *offers)()  # type: ignore[no-any-return]


PICKS = ("mean(dim=1)", "select(1, 0)", "amax(dim=1)", ["transpose(1, 2)", "sum(dim=-1)"])
"""From steps to rows."""


def spectrum(draw: Draw, scope: Scope, flow: Flow) -> tuple[Node, Flow]:
    """Draw operations that go through complex values and come back to real ones."""
    if rarely(draw, 3):
        return ["fft.fft(dim=-1)", "abs"], flow
    return ["fft.rfft(dim=-1)", pick(draw, "abs", "angle", "real")], flow.wide(scope.draft.unknown())


def shrunk(draw: Draw, scope: Scope, flow: Flow) -> tuple[Node, Flow]:
    """Draw what makes an image smaller."""
    if flow.size < 4:
        return "Upsample(scale_factor=2)", Flow(IMAGE, flow.width, flow.size * 2)
    halved = Flow(IMAGE, flow.width, flow.size // 2)
    if rarely(draw, 3):
        wanted = width(draw, scope)
        return f"Conv2d({wanted.text}, 2)", Flow(IMAGE, wanted, flow.size - 1)
    return pick(
        draw, "MaxPool2d(2)", "AvgPool2d(2)", "max_pool2d(2)", f"AdaptiveAvgPool2d({halved.size})"
    ), halved


def unrolled(draw: Draw, scope: Scope, flow: Flow) -> tuple[Node, Flow]:
    """Draw what turns an image into rows or steps."""
    pooled = Flow(ROWS, flow.width)
    square = Flow(STEPS, flow.width, flow.size**2)
    return pick(  # type: ignore[no-any-return]
        draw,
        (["AdaptiveAvgPool2d(1)", "Flatten"], pooled),
        ("mean(dim=[2, 3])", pooled),
        ("rearrange('b c h w -> b (h w) c')", square),
        (["flatten(2)", "transpose(1, 2)"], square),
        ("flatten(1)", Flow(ROWS, scope.draft.unknown())),
    )


def count(draw: Draw, scope: Scope, least: int = 0) -> int | str:
    """Draw how many copies there are: a number, or an expression for one."""
    if rarely(draw, 3):
        return number(draw, Scope(scope.draft, scope.numbers[:1]))
    return int(pick(draw, *range(max(least, 1), 4), *range(least, 1)))
